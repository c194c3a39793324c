// How figures are written, and how elements are made. Values reach the page as
// text alone.

const thin = "\u2009";

/** count writes a number with its thousands apart. */
export function count(n) {
  if (Math.abs(n) >= 1e8) return `${count(n / 1e6)}${thin}M`;
  return Math.round(n).toString().replace(/\B(?=(\d{3})+(?!\d))/g, thin);
}

/** rate writes how many there are in a second. */
export function rate(n) {
  if (n >= 100) return count(n);
  return n >= 10 || n === 0 ? n.toFixed(0) : n.toFixed(1);
}

/** bytes writes a size, in the units that Postgres uses too. */
export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (Math.abs(n) >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${i === 0 || Math.abs(n) >= 100 ? n.toFixed(0) : n.toFixed(1)}${thin}${units[i]}`;
}

/** seconds writes a span of time in two units at most. */
export function seconds(s) {
  if (s === 0) return `0${thin}s`;
  if (s < 0.001) return `<${thin}1${thin}ms`;
  if (s < 0.01) return `${(s * 1000).toFixed(1)}${thin}ms`;
  if (s < 1) return `${(s * 1000).toFixed(0)}${thin}ms`;
  if (s < 10) return `${s.toFixed(1)}${thin}s`;
  s = Math.round(s);
  const parts = [[Math.floor(s / 86400), "d"], [Math.floor(s / 3600) % 24, "h"], [Math.floor(s / 60) % 60, "min"], [s % 60, "s"]];
  const first = parts.findIndex(([n]) => n > 0);
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n}${thin}${unit}`).join(" ");
}

/** age writes how long ago a moment was. */
export function age(then, now) {
  return seconds(Math.max(0, Math.round((new Date(now) - new Date(then)) / 1000)));
}

/** clock writes a moment of today, or the day too. */
export function clock(at, now) {
  const then = new Date(at);
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const today = then.toDateString() === new Date(now).toDateString();
  return today ? time : `${then.toLocaleDateString([], { day: "numeric", month: "short" })} ${time.slice(0, 5)}`;
}

/** plural writes a number of things. */
export function plural(n, one, many) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** el makes an element: its class after a dot, attributes, and what it holds. */
export function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length > 0) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.filter((c) => c != null && c !== false));
  return node;
}

const svgNamespace = "http://www.w3.org/2000/svg";

/** icon draws a path of 24 by 24. */
export function icon(path) {
  const svg = document.createElementNS(svgNamespace, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(svgNamespace, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** text changes a node's text only where it differs, so that a selection stays. */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** meter is a bar that is filled in part; it warns when it is nearly full. */
export function meter(part, label, kind = "") {
  const bar = el(`progress${kind && "." + kind}`, { max: "100", value: (100 * Math.min(1, Math.max(0, part))).toFixed(1), "aria-label": label });
  return bar;
}
