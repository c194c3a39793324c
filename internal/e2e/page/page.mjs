// Drives the status page in a headless Chromium, as page_test.go asks: it reads
// what to do from the environment and prints a line for each thing that holds.
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";

const { PAGE_URL, PAGE_TOKEN, PAGE_BROWSER, PAGE_MODULES, PAGE_SHOTS, PAGE_SECRET } = process.env;
const { chromium } = createRequire(`${PAGE_MODULES}/`)("playwright-core");
if (PAGE_SHOTS) mkdirSync(PAGE_SHOTS, { recursive: true });

const browser = await chromium.launch({
  executablePath: PAGE_BROWSER,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const failures = [];

function check(name, ok, detail = "") {
  console.log(`${ok ? "ok" : "FAILED"}  ${name}${ok || detail === "" ? "" : `: ${detail}`}`);
  if (!ok) failures.push(name);
}

// open shows the page in a window of its own and collects what must not happen.
async function open(options) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (m) => { if (m.type() === "error" && !m.text().includes("401")) wrong.push(m.text()); });
  page.on("pageerror", (e) => wrong.push(e.message));
  page.on("request", (r) => { if (!r.url().startsWith(PAGE_URL)) wrong.push(`asks ${r.url()}`); });
  await page.goto(PAGE_URL);
  await page.waitForSelector('body[data-link="live"]');
  return { page, wrong, close: () => context.close() };
}

const textOf = (page, selector) => page.locator(selector).first().textContent();
const until = (page, what, arg) => page.waitForFunction(what, arg, { timeout: 60_000 });

async function shot(page, name, options = {}) {
  if (PAGE_SHOTS) await page.screenshot({ path: `${PAGE_SHOTS}/${name}.png`, ...options });
}

// What is too pale to read: text whose contrast with what is behind it is less
// than 4.5 to 1.
const pale = () => {
  const numbers = (c) => {
    const ctx = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    ctx.fillStyle = c;
    ctx.fillRect(0, 0, 1, 1);
    return [...ctx.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const c = numbers(getComputedStyle(node).backgroundColor);
      if (c[3] === 255) return c;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest("script, noscript")) continue;
    const [a, b] = [light(numbers(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${node.textContent.trim().slice(0, 30)} ${ratio.toFixed(1)}`);
  }
  return [...new Set(found)];
};

const drawn = () => [...document.querySelectorAll(".chart.drawn canvas")].map((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let n = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i]) n++;
  return n;
});

try {
  const { page, wrong, close } = await open({ colorScheme: "light" });

  check("the state is shown", /Streaming|Loading/.test(await textOf(page, "#state")), await textOf(page, "#state"));
  check("the title tells the state", /(Streaming|Loading) · pgcrm/.test(await page.title()), await page.title());
  const names = await page.locator(".station h3").allTextContents();
  check("the road has its stations", names.join() === "Database,Slot,Mapping,Queue,Governor,CRM", names.join());
  await until(page, () => /^\d/.test(document.querySelector('[data-station="database"] .figure').textContent) && document.querySelector('[data-station="slot"] dl').textContent.includes("Checkpoint"));
  const before = await textOf(page, '[data-station="crm"] dl');
  await until(page, (was) => document.querySelector('[data-station="crm"] dl').textContent !== was, before);
  check("figures move by themselves", true);

  await until(page, () => document.querySelectorAll(".chart.drawn").length === 5);
  const inked = await page.evaluate(drawn);
  check("all charts are drawn", inked.length === 5 && inked.every((n) => n > 200), inked.join());
  await page.locator('[data-minutes="1440"]').click();
  check("a longer time can be chosen", (await page.locator('[data-minutes="1440"]').getAttribute("aria-pressed")) === "true");
  await page.locator('[data-minutes="60"]').click();

  await until(page, () => document.querySelector("#backfills:not([hidden]) progress") !== null);
  check("a backfill shows its progress", /of about/.test(await textOf(page, "#backfill-list")), await textOf(page, "#backfill-list"));
  await until(page, () => document.querySelectorAll("#deliveries tbody tr").length > 3);
  check("the last deliveries are listed", true);
  if (PAGE_SHOTS) await page.waitForTimeout(45_000); // for charts worth looking at
  await shot(page, "status-light", { clip: { x: 0, y: 0, width: 1360, height: 900 } });

  const groups = await page.locator("details.group").evaluateAll((all) => all.map((d) => d.dataset.category).sort().join());
  check("parked records are grouped", groups === "invalid_option,not_found", groups);
  await page.locator('details[data-category="invalid_option"] summary').click();
  await page.waitForSelector('details[data-category="invalid_option"] tbody tr');
  const letters = await textOf(page, 'details[data-category="invalid_option"]');
  check("a parked property is shown", /public\.accounts/.test(letters) && /plan/.test(letters), letters);
  const everything = (await page.content()) + (await page.evaluate(() => fetch("/api/letters?category=invalid_option").then((r) => r.text())));
  check("values are hidden", !everything.includes(PAGE_SECRET));
  check("without the token there is nothing to press", (await page.locator(".letters button").count()) === 0);

  const refused = await page.evaluate(() => fetch("/api/letters/drop", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: '{"category":"not_found"}',
  }).then((r) => r.status));
  check("a request without the token is refused", refused === 401, refused);
  await page.locator("#unlock").click();
  await page.locator("#token").fill("not the token");
  await page.keyboard.press("Enter");
  await until(page, () => document.getElementById("unlock-error").textContent !== "");
  check("a wrong token is refused in words", /PGCRM_ADMIN_TOKEN/.test(await textOf(page, "#unlock-error")), await textOf(page, "#unlock-error"));
  await page.locator("#token").fill(PAGE_TOKEN);
  await page.keyboard.press("Enter");
  await page.waitForSelector('details[data-category="invalid_option"] .letters button');
  check("the token unlocks the actions", true);
  await page.locator('details[data-category="invalid_option"] [aria-label^="Retry "]').first().click();
  await page.waitForSelector("#toast:not([hidden])");
  check("a retry is asked for", /1 parked record is read again/.test(await textOf(page, "#toast")), await textOf(page, "#toast"));
  await page.locator('details[data-category="not_found"] summary').click();
  await page.locator('details[data-category="not_found"] >> text=Drop all').click();
  await page.waitForSelector("#confirm-dialog[open]");
  if (PAGE_SHOTS) {
    await page.locator("#confirm-dialog button.quiet").click();
    await page.locator("#parked").scrollIntoViewIfNeeded();
    await page.evaluate(() => { document.getElementById("toast").hidden = true; });
    await page.locator("#parked").screenshot({ path: `${PAGE_SHOTS}/status-parked.png` });
    await page.locator('details[data-category="not_found"] >> text=Drop all').click();
  }
  await page.locator("#confirm-ok").click();
  await until(page, () => document.querySelector('details[data-category="not_found"]') === null);
  check("a drop is asked for twice, and done", /Dropped \d+ parked record/.test(await textOf(page, "#toast")), await textOf(page, "#toast"));
  await page.reload();
  await page.waitForSelector("#parked-count:not(:empty)");
  check("the token outlives a reload and no more", (await textOf(page, "#unlock")) === "Lock actions" && !(await page.evaluate(() => JSON.stringify(localStorage))).includes(PAGE_TOKEN));
  await page.keyboard.press("Tab");
  const focus = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  check("the focus can be seen", focus !== "none", focus);
  check("text is readable in the light", (await page.evaluate(pale)).length === 0, (await page.evaluate(pale)).join("; "));
  check("nothing foreign is asked for, and nothing goes wrong", wrong.length === 0, wrong.join("; "));
  await close();

  const dark = await open({ colorScheme: "dark" });
  await until(dark.page, () => document.querySelectorAll(".chart.drawn").length === 5);
  await until(dark.page, () => document.querySelectorAll("#deliveries tbody tr").length > 3);
  check("text is readable in the dark", (await dark.page.evaluate(pale)).length === 0, (await dark.page.evaluate(pale)).join("; "));
  await dark.page.waitForTimeout(1500); // the rates of two readings
  await shot(dark.page, "status-dark", { clip: { x: 0, y: 0, width: 1360, height: 900 } });
  check("the dark page goes well", dark.wrong.length === 0, dark.wrong.join("; "));
  await dark.close();

  const phone = await open({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 1.5, hasTouch: true, isMobile: true, colorScheme: "light" });
  await until(phone.page, () => document.querySelectorAll(".chart.drawn").length === 5);
  await phone.page.locator("details.group summary").first().click();
  await phone.page.waitForSelector(".letters tbody tr");
  const over = await phone.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check("a phone needs no sideways scrolling", over <= 0, `${over} pixels too wide`);
  await phone.page.waitForTimeout(1500);
  await phone.page.evaluate(() => scrollTo(0, 0));
  await shot(phone.page, "status-phone", { clip: { x: 0, y: 0, width: 390, height: 844 } });
  check("the phone's page goes well", phone.wrong.length === 0, phone.wrong.join("; "));
  await phone.close();
} catch (error) {
  check(`the script goes on (${String(error.message).split("\n")[0]})`, false, error.stack);
}
await browser.close();
process.exit(failures.length > 0 ? 1 : 0);
