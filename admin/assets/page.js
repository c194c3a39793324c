// The page: it listens to the figures that pgcrm sends every second, and puts
// them in place.
import { Charts } from "./charts.js";
import { Letters } from "./letters.js";
import { Operator } from "./operator.js";
import { Road } from "./road.js";
import { age, clock, el, text } from "./show.js";
import { backfills, deliveries } from "./tables.js";

const road = new Road(document.getElementById("road"));
const charts = new Charts(document.getElementById("charts"));
const operator = new Operator(() => {
  letters.refresh();
  notices.seen = ""; // its buttons depend on the token
});
const letters = new Letters(document.getElementById("groups"), operator);
document.getElementById("unlock").addEventListener("click", () => (operator.unlocked ? operator.lock() : operator.ask()));

const words = {
  streaming: "Streaming", loading: "Loading", standby: "Standing by", starting: "Starting", redoing: "Reading again",
  reconnecting: "Reconnecting", stopping: "Stopping", stopped: "Stopped",
};

function show(page) {
  const s = page.status;
  const rates = ratesOf(s);
  const ready = ["streaming", "loading", "standby"].includes(s.state);
  const health = !ready || s.problems.length || s.crm.paused.some((p) => !["held", "mapping"].includes(p.reason)) ? "bad" : s.crm.paused.length || s.held.length ? "warn" : "good";
  document.getElementById("state-dot").dataset.health = health;
  text(document.getElementById("state"), words[s.state] ?? s.state);
  text(document.getElementById("since"), `for ${age(s.since, s.at)}${s.dry_run ? " · dry run, nothing is written" : ""}`);
  text(document.getElementById("portal"), [s.database.name, s.crm.portal && `portal ${s.crm.portal}`, s.slot.name && `slot ${s.slot.name}`].filter(Boolean).join(" · "));
  text(document.getElementById("build"), `pgcrm ${s.version.version} · ${s.version.go} · running for ${age(s.started, s.at)}`);
  document.title = `${words[s.state] ?? s.state} · pgcrm`;
  notices(s);
  if (page.sample) charts.add(page.sample);
  road.show(s, { ...rates, median: charts.median() });
  backfills(s.backfills);
  letters.show(page);
  deliveries(page);
}

// notices are what somebody should know of, worst first.
function notices(s) {
  const ready = ["streaming", "loading", "standby"].includes(s.state);
  const list = [
    ...s.problems.map((p) => ["bad", "Not ready", p]),
    ...(s.detail ? [[ready ? "calm" : "bad", words[s.state] ?? s.state, s.detail]] : []),
    ...s.crm.paused.filter((p) => !s.held.some((h) => h.reason === p.detail)).map((p) => ["bad", `Paused, ${p.reason.replaceAll("_", " ")}`, p.detail ?? ""]),
    ...s.held.map((h) => ["warn", `Held, ${h.what}`, h.reason, h.digest]),
  ];
  const seen = JSON.stringify([list, operator.unlocked]);
  if (seen === notices.seen) return;
  notices.seen = seen;
  document.getElementById("notices").replaceChildren(...list.map(([kind, title, detail, digest]) => el(`p.notice.${kind}`, {},
    el("strong", {}, title), detail ? ` ${detail}` : "",
    digest && (operator.unlocked ? el("button.main", { type: "button", onclick: () => resume(digest) }, "Let it go on") : el("code", {}, ` pgcrm resume ${digest}`)))));
}

function resume(digest) {
  operator.act({
    title: "Let the held change go on?", text: `All that it changes is sent to the CRM. Its digest is ${digest}.`, verb: "Let it go on",
    path: "/api/resume", body: { digest }, done: () => "It goes on.",
  });
}

// ratesOf compares with what was counted some seconds ago.
const counted = [];
function ratesOf(s) {
  const now = { at: new Date(s.at) / 1000, started: s.started, changes: s.changes, ...s.records };
  if (counted[0]?.started !== now.started) counted.length = 0;
  counted.push(now);
  while (counted.length > 2 && now.at - counted[1].at >= 8) counted.shift();
  const before = counted[0];
  const span = now.at - before.at;
  const per = (name) => (span > 0 ? ((now[name] ?? 0) - (before[name] ?? 0)) / span : 0);
  return { changes: per("changes"), delivered: per("delivered"), unchanged: per("unchanged") };
}

const silent = document.getElementById("silent");
let heard = null;
let source = null;

function listen() {
  source?.close();
  source = new EventSource("/api/events");
  source.onopen = () => charts.load();
  source.onmessage = (event) => {
    heard = Date.now();
    silent.hidden = true;
    document.body.dataset.link = "live";
    show(JSON.parse(event.data));
  };
}

// The browser tries again by itself after most failures, but not after all.
setInterval(() => {
  const quiet = heard ? Date.now() - heard : Infinity;
  if (quiet < 5000) return;
  document.body.dataset.link = "lost";
  silent.hidden = false;
  text(silent, heard
    ? `No answer from pgcrm since ${clock(heard, Date.now())}; the figures below are old. This page tries again by itself.`
    : "pgcrm does not answer. This page tries again by itself.");
  if (source.readyState === EventSource.CLOSED) listen();
}, 2000);

listen();
