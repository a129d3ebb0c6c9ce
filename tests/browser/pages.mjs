// The pages that the tests of `isogloss-report` leave behind, opened in headless Chromium.
//
// Every page is watched: a request, a message of the console or an error fails the test that made it.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const folder = process.env.PAGES;
assert(folder, "PAGES names the folder of the pages: start with `bash tests/browser/run`");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const executablePath = process.env.CHROMIUM
  ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
assert(executablePath, "no Chromium found: install it, or name it in CHROMIUM");

let browser;

export const close = () => browser?.close();

/** Opens a page, runs `test` with it, and looks that it stayed quiet and by itself. */
export async function open(name, test, { hash = "", ...options } = {}) {
  // No sandbox: containers lack what it needs, and the pages are our own.
  browser ??= await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, ...options });
  try {
    const page = await context.newPage();
    const heard = [];
    page.on("console", (message) => heard.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => heard.push(`error: ${error}`));
    const file = pathToFileURL(path.join(folder, name)).href;
    page.on("request", (request) => {
      if (request.url().split("#")[0] !== file) heard.push(`request: ${request.url()}`);
    });
    await page.goto(file + hash);
    await test(page);
    assert.deepEqual(heard, [], "the page made a request or an error");
  } finally {
    await context.close();
  }
}

/** All rules of axe-core, with what they found as readable lines. */
export async function violations(page) {
  // Through the debugger, which the page's own policy does not bind.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
    resultTypes: ["violations"],
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.slice(0, 3).map(({ target, any, all }) =>
      `${id}: ${help}: ${target.join(" ")} ${[...any, ...all].map(({ message }) => message).join("; ")}`));
}

/** Whether anything is wider than the window. */
export const overflow = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
