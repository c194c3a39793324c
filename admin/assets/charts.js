// Charts of the last hours. uPlot draws them; the colours are the page's.
/* global uPlot */
import { bytes, el, rate, seconds, text } from "./show.js";

const outcomes = ["delivered", "unchanged", "coalesced", "parked", "skipped", "would_deliver"];
const perSecond = (name) => (s) => (s.records[name] ?? 0) / s.seconds;

const charts = [
  {
    key: "latency", title: "Commit to CRM", wide: true, log: true, write: seconds, axis: decade,
    series: [["median", "--c1", (s) => s.p50], ["95 %", "--c2", (s) => s.p95]],
    empty: "No record was delivered in this time.",
  },
  {
    key: "throughput", title: "Records a second, by outcome", wide: true, write: rate,
    series: outcomes.map((name, i) => [name.replace("_", " "), `--c${[1, 5, 3, 4, 2, 6][i]}`, perSecond(name), name !== "would_deliver"]),
    empty: "No change came in this time.",
  },
  { key: "lag", title: "Lag", write: bytes, power: 2, series: [["behind the server", "--c1", (s) => s.lag_bytes]], empty: "The lag is not known yet." },
  {
    key: "wal", title: "Log kept for the slot", write: bytes, power: 2,
    series: [["kept", "--c1", (s) => s.retained_wal_bytes], ["limit", "--c4", (s) => (s.safe_wal_bytes == null ? null : s.safe_wal_bytes + s.retained_wal_bytes), false, true]],
    empty: "The slot is not known yet.",
  },
  {
    key: "quota", title: "Quota used, of the limit", write: (n) => `${Math.round(n)}\u2009%`, ceiling: 100,
    series: [["10 s", "--c1", (s) => percent(s.quota_used["10s"])], ["day", "--c3", (s) => percent(s.quota_used.day)]],
    empty: "No call was made yet.",
  },
];

function percent(part) {
  return part == null ? null : 100 * part;
}

/** Charts keeps the samples and draws them. */
export class Charts {
  constructor(root) {
    this.root = root;
    this.samples = [];
    this.minutes = 60;
    this.sync = uPlot.sync("charts");
    this.views = charts.map((c) => this.view(c));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    new ResizeObserver(() => this.resize()).observe(root);
    document.querySelectorAll("[data-minutes]").forEach((button) => button.addEventListener("click", () => {
      document.querySelectorAll("[data-minutes]").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
      this.load(Number(button.dataset.minutes));
    }));
  }

  view(chart) {
    const view = { chart, legend: el("ul.legend"), plot: el("div.plot"), empty: el("p.empty"), now: el("span.now") };
    view.entries = chart.series.map(([name, colour, , , dashed]) => {
      const value = el("span.value");
      const item = el(`li.${colour.slice(2)}${dashed ? ".dashed" : ""}`, {}, el("span.key"), el("span.name", {}, name), value);
      view.legend.append(item);
      return { item, value };
    });
    view.card = el(`figure.card.chart${chart.wide ? ".wide" : ""}`, { "data-chart": chart.key }, el("figcaption", {}, chart.title), view.plot, view.empty, view.legend);
    this.root.append(view.card);
    return view;
  }

  /** load asks for the samples of the last minutes. */
  async load(minutes = this.minutes) {
    this.minutes = minutes;
    const answer = await fetch(`/api/history?minutes=${minutes}`, { cache: "no-store" });
    if (!answer.ok || minutes !== this.minutes) return;
    this.samples = (await answer.json()).samples;
    this.loaded = Date.now();
    this.draw();
  }

  /** add takes in the newest sample. Longer spans have coarser ones, which are asked for. */
  add(sample) {
    if (this.minutes > 60) {
      if (Date.now() - (this.loaded ?? 0) > 60000) this.load();
      return;
    }
    const last = this.samples.at(-1);
    if (last && new Date(last.at) >= new Date(sample.at)) return;
    this.samples.push(sample);
    const oldest = new Date(sample.at) - this.minutes * 60000;
    while (this.samples.length > 0 && new Date(this.samples[0].at) < oldest) this.samples.shift();
    this.draw();
  }

  /** median is that of the newest sample with one. */
  median() {
    return this.samples.slice(-12).findLast((s) => s.p50 != null)?.p50;
  }

  draw() {
    const at = this.samples.map((s) => new Date(s.at) / 1000);
    for (const view of this.views) {
      const data = [at, ...view.chart.series.map(([, , value]) => this.samples.map((s) => value(s) ?? null))];
      const known = data.slice(1).some((column) => column.some((v) => v != null && (v > 0 || view.chart.ceiling || view.chart.power)));
      const drawable = this.samples.length > 1 && known;
      view.card.classList.toggle("drawn", drawable);
      text(view.empty, drawable ? "" : this.samples.length < 2 ? "The first points come after ten seconds." : view.chart.empty);
      view.data = data;
      if (!drawable) continue;
      if (view.u) view.u.setData(data);
      else this.create(view);
      this.legend(view, null);
    }
  }

  create(view) {
    view.u = new uPlot(options(view.chart, size(view), this, (i) => this.legend(view, i)), view.data, view.plot);
  }

  // legend shows the values under the cursor, or else the newest.
  legend(view, index) {
    view.entries.forEach(({ item, value }, i) => {
      const column = view.data[i + 1];
      const v = index == null ? column.findLast((x) => x != null) : column[index];
      const always = view.chart.series[i][3] !== false;
      item.hidden = !always && !column.some((x) => x > 0);
      text(value, v == null ? "–" : view.chart.write(v));
    });
  }

  resize() {
    for (const view of this.views) view.u?.setSize(size(view));
  }

  redraw() {
    for (const view of this.views) {
      view.u?.destroy();
      view.u = null;
    }
    this.draw();
  }
}

function size(view) {
  return { width: Math.max(160, view.plot.clientWidth), height: view.chart.wide ? 190 : 160 };
}

// colour asks an element for it: a variable alone does not tell light from dark.
const swatch = document.body.appendChild(el("span", { hidden: true }));
function colour(name) {
  swatch.style.color = `var(${name})`;
  return getComputedStyle(swatch).color;
}

function options(chart, dimensions, owner, hover) {
  const font = "11px system-ui, sans-serif";
  const axis = { stroke: colour("--soft"), font, grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false } };
  return {
    ...dimensions,
    padding: [10, 4, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: owner.sync.key }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
    scales: {
      // What there is, but no less than five minutes and no more than was asked for.
      x: { range: (u, min, max) => [Math.min(max - 300, Math.max(min, max - owner.minutes * 60)), max] },
      y: scale(chart),
    },
    axes: [
      { ...axis, space: 70, size: 26, gap: 6, values: (u, ticks) => ticks.map(hourAndMinute), grid: { show: false } },
      {
        ...axis, size: 58, gap: 8, space: 34, incrs: chart.power === 2 ? powersOfTwo : undefined,
        ...(chart.log ? { filter: decades, grid: { ...axis.grid, filter: decades } } : {}),
        values: (u, ticks) => ticks.map((v) => (v == null ? "" : (chart.axis ?? chart.write)(v))),
      },
    ],
    series: [{}, ...chart.series.map(([name, variable, , , dashed], i) => ({
      label: name, stroke: colour(variable), width: 1.75, points: { size: 4, show: (u, i) => u.data[i].filter((v) => v != null).length < 3 }, spanGaps: chart.log,
      dash: dashed ? [5, 4] : undefined,
      fill: i === 0 && !chart.log ? `color-mix(in srgb, ${colour(variable)} 12%, transparent)` : undefined,
    }))],
    hooks: { setCursor: [(u) => hover(u.cursor.idx)] },
  };
}

// decades leaves the powers of ten of a logarithmic axis.
function decades(u, ticks) {
  return ticks.map((v) => (Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? v : null));
}

// decade writes a power of ten of seconds shortly.
function decade(v) {
  return v < 0.5 ? `${Math.round(v * 1000)}\u2009ms` : `${Math.round(v)}\u2009s`;
}

// Twice the step each: sizes read best at powers of two.
const powersOfTwo = Array.from({ length: 50 }, (_, i) => 2 ** i);

function scale(chart) {
  if (chart.log) {
    return { distr: 3, range: (u, min, max) => (min == null ? [0.001, 1] : [10 ** Math.floor(Math.log10(min)), 10 ** Math.ceil(Math.log10(max * 1.01))]) };
  }
  if (chart.ceiling) return { range: [0, chart.ceiling] };
  return { range: (u, min, max) => [0, Math.max(max * 1.1, chart.power ? 1024 : 1)] };
}

function hourAndMinute(at) {
  return new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}
