// What changed between two surveys: a page of its own, watched like the atlas.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { close, open, overflow, violations } from "./pages.mjs";

after(close);

const codes = (page) => page.locator("table.diff tbody tr").evaluateAll((all) => all.map((row) => row.dataset.code));

test("what is not alike stands above everything, and a column sorts by its change", () =>
  open("diff.html", async (page) => {
    const stamp = await page.locator(".stamp").boundingBox();
    assert(stamp.y < 200, `the warning is at ${stamp.y}`);
    assert.equal((await codes(page)).length, 27);
    const header = page.locator("table.diff th", { hasText: "Comprehension" });
    await header.locator("button").focus();
    await page.keyboard.press("Enter");
    assert.equal(await header.getAttribute("aria-sort"), "ascending");
    const changes = await page.locator("table.diff tbody td:nth-child(3)").evaluateAll((all) =>
      all.map((cell) => cell.dataset.sort).filter((sort) => sort !== undefined).map(Number));
    assert.deepEqual(changes, [...changes].sort((a, b) => a - b));
    await page.locator("table.diff th button", { hasText: "Verdict" }).focus();
    await page.keyboard.press("Enter");
    const moves = await page.locator("table.diff tbody td.verdict").evaluateAll((all) =>
      all.map((cell) => Number(cell.dataset.sort)));
    assert.deepEqual(moves, [...moves].sort((a, b) => a - b), "moves first again");
  }));

test("no rule of axe-core is broken, and it fits a phone", async () => {
  await open("diff.html", async (page) => {
    assert.deepEqual(await violations(page), []);
  }, { bypassCSP: true });
  await open("diff.html", async (page) => {
    assert.deepEqual(await violations(page), []);
    assert(await overflow(page) <= 0, `${await overflow(page)} px too wide`);
  }, { bypassCSP: true, colorScheme: "dark", viewport: { width: 390, height: 844 } });
});

test("the page of tokens breaks no rule either", () =>
  open("tokens.html", async (page) => {
    assert.deepEqual(await violations(page), []);
  }, { bypassCSP: true }));
