// Drives `attest report`'s pages in headless Chromium: node report.mjs ATTEST [SCREENSHOTS]
//
// A page of each kind of work is made by the program and opened from the disk. It must load
// nothing, print nothing on the console, recompute right leaves as right and flipped ones
// as wrong, and have no serious fault of accessibility, in light and in dark.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [attest, screenshots] = process.argv.slice(2);
assert.ok(attest, "usage: node report.mjs ATTEST [SCREENSHOTS]");
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const PATIENCE_MS = 300_000;
const folder = mkdtempSync(join(tmpdir(), "attest-browser-"));
if (screenshots) mkdirSync(screenshots, { recursive: true });

const KINDS = {
  fp64: ["--dim", "256", "--matrices", "1", "--iterations", "4", "--samples", "20"],
  integer: ["--kind", "integer", "--dim", "256", "--matrices", "1", "--iterations", "4", "--samples", "20"],
  memory: ["--kind", "memory", "--arena-blocks", "512", "--iterations", "4", "--samples", "20"],
};

const program = (...args) =>
  execFileSync(attest, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28 });

/// A report on work that was really done, as a file.
function report(kind) {
  const at = (name) => join(folder, `${kind}-${name}`);
  program("challenge", ...KINDS[kind], "--out", at("token.txt"));
  const token = `@${at("token.txt")}`;
  program("run", "--challenge", token, "--executor", "cpu", "--out", at("result.json"));
  program("report", at("result.json"), "--challenge", token, "--out", at("report.html"));
  return at("report.html");
}

/// The page with its data changed by `change`, as a forger or a broken disk leaves it.
function changed(file, change) {
  const page = readFileSync(file, "utf8");
  const open = 'id="attest-data">';
  const from = page.indexOf(open) + open.length;
  const to = page.indexOf("</script>", from);
  const data = JSON.parse(page.slice(from, to));
  change(data.rounds[0].result);
  const json = JSON.stringify(data).replace(/[<>&]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const other = file.replace(".html", "-changed.html");
  writeFileSync(other, page.slice(0, from) + json + page.slice(to));
  return other;
}

const flipped = (hex) => (parseInt(hex[0], 16) ^ 1).toString(16) + hex.slice(1);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/// Opens a page, and fails if it says anything on the console or asks for another file.
async function opened(file, colorScheme, drive) {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1200, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  const url = pathToFileURL(file).href;
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) said.push(`asked for ${request.url()}`);
  });
  await page.goto(url);
  await drive(page);
  await context.close();
  assert.deepEqual(said, [], file);
}

/// Presses the button; gives what it came to, and in which words.
async function recomputed(page, count) {
  await page.selectOption("#recompute-count", count);
  await page.click("#recompute-start");
  await page.waitForSelector("#recompute:not([data-outcome=running])[data-outcome]");
  const outcome = await page.getAttribute("#recompute", "data-outcome");
  return [outcome, await page.innerText("#recompute-outcome"), await page.innerText("#recompute-faults")];
}

/// axe-core's serious and critical faults.
async function faults(page) {
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

const shot = (page, name) =>
  screenshots ? page.screenshot({ path: join(screenshots, name), fullPage: true }) : undefined;

try {
  for (const kind of Object.keys(KINDS)) {
    const file = report(kind);
    await opened(file, "light", async (page) => {
      assert.match(await page.innerText("h1"), /verified/i);
      for (const count of ["16", "0"]) {
        const [outcome, text] = await recomputed(page, count);
        assert.equal(outcome, "right", `${kind}: ${text}`);
        const number = count === "0" ? "([0-9]+) of the \\1" : "16 of the [0-9]+";
        assert.match(text, new RegExp(`${number} opened leaves recomputed`));
      }
      await shot(page, `report-${kind}-light.png`);
      assert.deepEqual(await faults(page), [], `${kind}, light`);
    });
    console.log(`${kind}: right leaves are right`);

    const wrongPath = changed(file, (result) => {
      result.openings[3].path[0] = flipped(result.openings[3].path[0]);
    });
    await opened(wrongPath, "light", async (page) => {
      const [outcome, text, wrong] = await recomputed(page, "0");
      assert.equal(outcome, "wrong", text);
      assert.match(text, /: 1 wrong/);
      assert.match(wrong, /leaf-mismatch|leads to/);
      await shot(page, `report-${kind}-flipped.png`);
    });
    console.log(`${kind}: one flipped bit in an opening is one wrong leaf`);
  }

  const file = join(folder, "fp64-report.html");
  const wrongRoot = changed(file, (result) => {
    const roots = result.lanes[0].iteration_roots;
    roots[1] = flipped(roots[1]);
  });
  await opened(wrongRoot, "light", async (page) => {
    const [outcome, text, wrong] = await recomputed(page, "16");
    assert.equal(outcome, "wrong", text);
    assert.match(wrong, /commit/);
  });
  console.log("a flipped bit in a root is no commitment");

  await opened(file, "dark", async (page) => {
    await shot(page, "report-fp64-dark.png");
    assert.deepEqual(await faults(page), [], "dark");
  });
  console.log("dark: no serious fault of accessibility");
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
console.log("report: all passed");
