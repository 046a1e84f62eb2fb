// Drives `attest report`'s pages in headless Chromium: node report.mjs ATTEST [SCREENSHOTS]
//
// A page of each kind of work is made by the program and opened from the disk. It must load
// nothing, print nothing on the console, recompute right leaves as right and flipped ones
// as wrong, and have no serious fault of accessibility, in light and in dark.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ATTACKS, PHONE, closed, faults, fits, folder, opened as openedAt, program, shot } from "./common.mjs";

const KINDS = {
  fp64: ["--dim", "256", "--matrices", "1", "--iterations", "4", "--samples", "20"],
  integer: ["--kind", "integer", "--dim", "256", "--matrices", "1", "--iterations", "4", "--samples", "20"],
  memory: ["--kind", "memory", "--arena-blocks", "512", "--iterations", "4", "--samples", "20"],
};

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

/// Opens a page from the disk: it may load nothing else.
const opened = (file, colorScheme, drive, more = {}) => {
  const url = pathToFileURL(file).href;
  return openedAt(url, { colorScheme, ...more, mayAsk: (asked) => asked === url }, drive);
};

/// Presses the button; gives what it came to, and in which words.
async function recomputed(page, count) {
  await page.selectOption("#recompute-count", count);
  await page.click("#recompute-start");
  await page.waitForSelector("#recompute:not([data-outcome=running])[data-outcome]");
  const outcome = await page.getAttribute("#recompute", "data-outcome");
  return [outcome, await page.innerText("#recompute-outcome"), await page.innerText("#recompute-faults")];
}

/// A report on a result and a verdict in which each of somebody's texts is an attack.
function hostile(attack, number) {
  const at = (name) => join(folder, `hostile-${number}-${name}`);
  const token = `@${join(folder, "fp64-token.txt")}`;
  const honest = join(folder, "fp64-result.json");
  const result = JSON.parse(readFileSync(honest, "utf8"));
  const verdict = JSON.parse(program("verify", honest, "--challenge", token, "--json"));
  for (const lane of result.evidence.lanes) {
    for (const name of ["model", "serial", "pci_id", "driver_version", "kernel_variant"]) lane[name] = attack;
  }
  result.evidence.findings = [{ code: attack, text: attack }];
  for (const fact of verdict.facts) [fact.subject, fact.text] = [attack, attack];
  verdict.detail = attack;
  writeFileSync(at("result.json"), JSON.stringify(result));
  writeFileSync(at("verdict.json"), JSON.stringify(verdict));
  program("report", at("result.json"), "--challenge", token, "--verdict", at("verdict.json"), "--out", at("report.html"));
  return at("report.html");
}

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

  await opened(file, "light", async (page) => {
    await shot(page, "report-fp64-phone.png");
    await fits(page, "a report");
  }, { viewport: PHONE });
  console.log("a phone shows all of it");

  const scripts = readFileSync(file, "utf8").split("<script").length - 1;
  for (const [number, attack] of ATTACKS.entries()) {
    await opened(hostile(attack, number), "light", async (page) => {
      assert.ok((await page.innerText("body")).includes(attack), `${attack} is shown as it is`);
      for (const details of await page.$$("details > summary")) await details.click();
      assert.equal(await page.$("img, body[onload], a[href^=javascript]"), null, attack);
      assert.equal(await page.evaluate("document.scripts.length"), scripts, attack);
    });
  }
  console.log("texts of a miner that attack are shown and run nothing");
} finally {
  await closed();
}
console.log("report: all passed");
