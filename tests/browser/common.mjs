// What the tests of pages in headless Chromium share: the program, the browser, a page that
// may say nothing on its console, and axe-core.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const [attest, screenshots] = process.argv.slice(2);
assert.ok(attest, "usage: node FILE.mjs ATTEST [SCREENSHOTS]");
export const PATIENCE_MS = 300_000;
export const folder = mkdtempSync(join(tmpdir(), "attest-browser-"));
if (screenshots) mkdirSync(screenshots, { recursive: true });
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/// Each would set window.attacked if it ran.
export const ATTACKS = [
  '<img src=x onerror="window.attacked=1">',
  "</script><script>window.attacked=1</script>",
  '"\'><svg onload=window.attacked=1>',
  "</style></title><body onload=window.attacked=1>",
  "javascript:window.attacked=1",
  "<a href=\"javascript:window.attacked=1\" autofocus onfocus=\"window.attacked=1\">x</a>",
];

export const program = (...args) =>
  execFileSync(attest, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28 });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/// Opens a page, and fails if it says anything on the console that is not `expected`, asks for
/// what `mayAsk` does not allow, or lets an attack run.
export async function opened(url, { mayAsk, expected, ...context }, drive) {
  const window = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...context });
  const page = await window.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const said = [];
  page.on("console", (message) => {
    if (!expected?.test(message.text())) said.push(message.text());
  });
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("dialog", (dialog) => {
    said.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!mayAsk(request.url()) && !request.url().startsWith("data:")) said.push(`asked for ${request.url()}`);
  });
  await page.goto(url);
  await drive(page);
  if (context.javaScriptEnabled !== false) {
    assert.equal(await page.evaluate("window.attacked"), undefined, `an attack ran: ${url}`);
  }
  await window.close();
  assert.deepEqual(said, [], url);
}

/// axe-core's serious and critical faults.
export async function faults(page) {
  // The page's own policy refuses scripts that are not its own: this is the inspector's way.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: readFileSync(AXE, "utf8") });
  const { result } = await session.send("Runtime.evaluate", {
    expression: "axe.run().then((found) => JSON.stringify(found.violations))",
    awaitPromise: true,
    returnByValue: true,
  });
  const serious = JSON.parse(result.value).filter(({ impact }) => ["serious", "critical"].includes(impact));
  return serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
}

export const PHONE = { width: 390, height: 800 };

/// Nothing sticks out of a phone's screen, and the words in charts are large enough to be read.
export async function fits(page, name) {
  const wide = await page.evaluate("document.documentElement.scrollWidth");
  assert.ok(wide <= PHONE.width, `${name} is ${wide} wide on a phone`);
  const sizes = await page.evaluate(() =>
    [...document.querySelectorAll(".chart text")].map((text) => {
      const { a, b } = text.getScreenCTM();
      return Math.hypot(a, b) * parseFloat(getComputedStyle(text).fontSize);
    }));
  assert.ok(Math.min(...sizes, 99) >= 8, `${name} has words of ${Math.min(...sizes)} pixels`);
  assert.deepEqual(await faults(page), [], `${name} on a phone`);
}

export const shot = (page, name) =>
  screenshots ? page.screenshot({ path: join(screenshots, name), fullPage: true }) : undefined;

/// Whatever came of it, nothing is left behind.
export async function closed() {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
