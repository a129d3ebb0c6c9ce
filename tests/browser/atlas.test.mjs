// The atlas as a reader uses it: open, sort, filter, follow links, by mouse, by keys, on a phone, on paper.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { close, open, overflow, violations } from "./pages.mjs";

after(close);

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const rows = (page, model = 0) => page.locator(`#table .of-model[data-model="${model}"] tbody tr`);
const shown = (page, model = 0) => rows(page, model).locator("visible=true");
const codes = (locator) => locator.evaluateAll((all) => all.map((row) => row.dataset.code));
const status = (page) => page.locator(".filter output").textContent();
const active = (page, what) => page.evaluate(`document.activeElement.${what}`);

test("opens whole, and the samples of every script are to be seen", () =>
  open("atlas.html", async (page) => {
    assert.match(await page.title(), /Which languages do these 2 models serve/);
    assert.equal(await rows(page).count(), 27);
    assert.equal(await status(page), "27 languages");
    for (const [code, tag, dir, start] of [
      ["arb", "ar", "rtl", "يولد جميع الناس"],
      ["tha", "th", "ltr", "มนุษย์ทั้งหลาย"],
      ["hin", "hi", "ltr", "सभी मनुष्यों"],
      ["cmn", "zh", "ltr", "人人生而自由"],
    ]) {
      const sample = page.locator(`#lang-${code} blockquote`);
      await sample.scrollIntoViewIfNeeded();
      assert(await sample.isVisible(), code);
      assert.equal(await sample.getAttribute("lang"), tag);
      assert.equal(await sample.getAttribute("dir"), dir);
      assert((await sample.textContent()).startsWith(start), code);
      assert((await sample.boundingBox()).height > 20, code);
    }
  }));

test("sorts by a column, and what was not measured stays last", () =>
  open("atlas.html", async (page) => {
    const header = page.locator('#table .of-model[data-model="0"] th', { hasText: "Token premium" });
    const button = header.locator("button");
    await button.click();
    assert.equal(await header.getAttribute("aria-sort"), "descending");
    assert.equal((await codes(rows(page)))[0], "tam");
    await button.click();
    assert.equal(await header.getAttribute("aria-sort"), "ascending");
    assert.equal((await codes(rows(page)))[0], "eng");
    const comprehension = page.locator('#table .of-model[data-model="0"] th button', { hasText: "Comprehension" }).first();
    for (let i = 0; i < 2; i += 1) {
      await comprehension.click();
      const last = await rows(page).last().locator("td").nth(1).textContent();
      assert.equal(last, "–");
    }
    await page.locator('#table .of-model[data-model="0"] th button', { hasText: "Language" }).first().click();
    assert.equal(await rows(page).first().locator("th").textContent(), "Amharic");
  }));

test("filters combine, are in the address, and a link with them opens the same", () =>
  open("atlas.html", async (page) => {
    await page.selectOption("[name=region]", "Africa");
    assert.deepEqual((await codes(shown(page))).sort(), ["amh", "arb", "fra", "hau", "swh", "yor"]);
    assert.equal(await status(page), "6 of 27 languages");
    await page.selectOption("[name=region]", "Western Africa");
    assert.deepEqual((await codes(shown(page))).sort(), ["hau", "yor"]);
    await page.selectOption("[name=region]", "Africa");
    await page.selectOption("[name=script]", "Latn");
    await page.locator("[name=verdict][value=served]").uncheck();
    await page.selectOption("[name=from]", "10000000");
    const left = await codes(shown(page));
    assert(left.length > 0 && !left.includes("fra") && !left.includes("arb"), String(left));
    const url = page.url();
    assert.match(url, /#\?region=Africa&script=Latn&from=10000000&verdict=partly%2Cnot-served%2Ccannot-say%2Creference$/);
    // Signs of the others are dim and out of the way of keys and screen readers.
    const dot = page.locator('figure[data-model="0"] a.dot[data-code=fra]');
    assert.equal(await dot.getAttribute("aria-hidden"), "true");
    assert.equal(await dot.getAttribute("tabindex"), "-1");

    await open("atlas.html", async (other) => {
      assert.deepEqual(await codes(shown(other)), left);
      assert.equal(await other.locator("[name=region]").inputValue(), "Africa");
      await other.getByRole("button", { name: "Show all" }).click();
      await other.waitForFunction(() => document.querySelector(".filter output").value === "27 languages");
      assert(!other.url().includes("#?"), other.url());
    }, { hash: url.slice(url.indexOf("#")) });
  }));

test("finds names, endonyms and codes, without accents too", () =>
  open("atlas.html", async (page) => {
    for (const [text, code] of [
      ["basque", "eus"], ["euskara", "eus"], ["EUS", "eus"], ["العربية", "arb"], ["espanol", "spa"],
      ["हिन्दी", "hin"], ["ไทย", "tha"], ["中文", "cmn"], ["tieng viet", "vie"],
    ]) {
      await page.fill("[name=text]", text);
      assert((await codes(shown(page))).includes(code), text);
      assert((await shown(page).count()) < 10, text);
    }
    await page.fill("[name=text]", "no such language");
    assert.equal(await status(page), "0 of 27 languages");
  }));

test("says how many people the line leaves out, for what is shown", () =>
  open("atlas.html", async (page) => {
    const table = () => page.locator('#people .of-model[data-model="0"] tbody tr').allTextContents();
    const before = await table();
    await page.selectOption("[name=region]", "Western Africa");
    assert.equal(await page.locator("#people .filtered").textContent(), "Only the 2 of 27 languages that the filter leaves.");
    // Hausa and Yoruba, by the page itself.
    const counted = await page.locator("#lang-hau, #lang-yor").evaluateAll((all) =>
      all.reduce((sum, { dataset }) => sum + Number(dataset.speakers), 0));
    const cells = (await page.locator('#people .of-model[data-model="0"] tbody tr:not(:has(td:first-of-type:text-is("0"))) b').allTextContents());
    assert.equal(cells.length, 1, String(cells));
    assert.equal(cells[0], `${(counted / 1e6).toFixed(1).replace(/\.0$/, "")} million`);
    await page.getByRole("button", { name: "Show all" }).click();
    await page.waitForFunction(() => document.querySelector(".filter output").value === "27 languages");
    // What the script says of everything is what was printed before it ran.
    assert.deepEqual(await table(), before);
  }));

test("follows links, also to a language that the filter hides, and back", () =>
  open("atlas.html", async (page) => {
    await page.fill("[name=text]", "basque");
    assert(page.url().endsWith("#?text=basque"));
    assert(!(await page.locator("#lang-fra").isVisible()));
    await page.locator(".groups a", { hasText: "French" }).first().click();
    assert(page.url().endsWith("#lang-fra"));
    assert(await page.locator("#lang-fra h3").isVisible());
    const box = await page.locator("#lang-fra").boundingBox();
    assert(box.y >= -5 && box.y < 600, `at ${box.y}`);
    await page.goBack();
    assert(page.url().endsWith("#?text=basque"));
    assert.deepEqual(await codes(shown(page)), ["eus"]);
    assert(!(await page.locator("#lang-fra").isVisible()));
  }));

test("everything can be done with keys alone", () =>
  open("atlas.html", async (page) => {
    await page.keyboard.press("Tab");
    assert.equal(await active(page, "className"), "skip");
    assert((await page.locator(".skip").boundingBox()).x >= 0, "the skip link is seen when it has the focus");
    await page.keyboard.press("Enter");
    assert(page.url().endsWith("#table"));

    // Map: one stop, arrows between signs, Enter to the section.
    await page.locator("#model-0").focus();
    await page.keyboard.press("Tab");
    assert.equal(await active(page, "getAttribute('class').split(' ')[0]"), "dot");
    const from = await active(page, "dataset.code");
    await page.keyboard.press("ArrowRight");
    const to = await active(page, "dataset.code");
    assert.notEqual(from, to);
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Enter");
    assert.match(page.url(), /#lang-/);
    await page.locator("#model-0").focus();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    assert.equal(await active(page, "name"), "text", "behind the map comes the filter");

    await page.keyboard.type("hausa");
    assert.deepEqual(await codes(shown(page)), ["hau"]);
    await page.keyboard.press("Tab");
    assert.equal(await active(page, "name"), "region");
    await page.keyboard.type("Western Africa");
    assert.equal(await page.locator("[name=region]").inputValue(), "Western Africa");
    for (let i = 0; i < 12 && (await active(page, "name")) !== "verdict"; i += 1) await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    assert(!(await page.locator("[name=verdict][value=served]").isChecked()));
    for (let i = 0; i < 12 && (await active(page, "type")) !== "reset"; i += 1) await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector(".filter output").value === "27 languages");
    assert.equal(await active(page, "name"), "text", "the focus is not lost with the button");

    // The other model, by the arrow keys of a radio group.
    await page.locator("#model-0").focus();
    await page.keyboard.press("ArrowDown");
    assert(await page.locator("#model-1").isChecked());
    assert(await rows(page, 1).first().isVisible());
    assert(page.url().endsWith("#?model=1"));

    // Sorting.
    const header = page.locator('#table .of-model[data-model="1"] th', { hasText: "Token premium" });
    await header.locator("button").focus();
    await page.keyboard.press("Enter");
    assert.equal(await header.getAttribute("aria-sort"), "descending");

    // Every stop of the Tab key is to be seen when it has the focus.
    await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
    for (let i = 0; i < 60; i += 1) {
      await page.keyboard.press("Tab");
      const ring = await page.evaluate(() => {
        const of = document.activeElement;
        if (of === document.body) return "body";
        const seen = of.matches("[type=radio]") ? of.nextElementSibling
          : of.matches("a.dot") ? of.querySelector(".touch") : of;
        const style = getComputedStyle(seen);
        return style.outlineStyle !== "none" || style.stroke !== "none" ? "" : of.outerHTML.slice(0, 80);
      });
      assert.equal(ring, "", "no ring around the focus");
    }
  }));

test("no rule of axe-core is broken, and a planted fault is seen", async () => {
  for (const options of [{ colorScheme: "light" }, { colorScheme: "dark", ...PHONE }]) {
    await open("atlas.html", async (page) => {
      // What is far below is only laid out when it is near: let the rules see all of it.
      await page.addStyleTag({ content: ".language, #panels { content-visibility: visible !important }" });
      assert.deepEqual(await violations(page), [], options.colorScheme);
      await page.addStyleTag({ content: ".note { color: #999 !important; background: #888 }" });
      await page.locator("[name=region]").evaluate((select) => select.closest("label").replaceWith(select));
      const found = (await violations(page)).map((line) => line.split(":")[0]);
      assert(found.includes("color-contrast") && found.includes("select-name"), String(found));
    }, { bypassCSP: true, ...options });
  }
});

test("fits a phone, and its filter works there", () =>
  open("atlas.html", async (page) => {
    assert(await overflow(page) <= 0, `${await overflow(page)} px too wide`);
    await page.selectOption("[name=region]", "Asia");
    await page.locator("#lang-arb blockquote").scrollIntoViewIfNeeded();
    assert(await overflow(page) <= 0);
    // What is tapped is large enough for a finger: 24 px, WCAG 2.5.8.
    const small = await page.locator(".filter :is(select, input[type=search], label.check)").evaluateAll((all) =>
      all.map((each) => each.getBoundingClientRect()).filter((box) => box.height < 24).length);
    assert.equal(small, 0);
  }, PHONE));

test("prints every language, black on white", () =>
  open("atlas.html", async (page) => {
    await page.emulateMedia({ media: "print" });
    for (const article of await page.locator("article.language").all()) assert(await article.isVisible());
    assert(await rows(page, 1).first().isVisible(), "both models are on paper");
    const colors = await page.locator("#table .verdict, .bar span, .reason .verdict").evaluateAll((all) =>
      [...new Set(all.flatMap((each) => [getComputedStyle(each).color, getComputedStyle(each).backgroundColor]))]);
    for (const color of colors) {
      const channels = color.match(/\d+/g).slice(0, 3);
      assert(new Set(channels).size === 1, `a color on paper: ${color}`);
    }
    const pdf = await page.pdf({ format: "A4", landscape: true });
    const pages = pdf.toString("latin1").match(/\/Type \/Page\b/g).length;
    assert(pages > 10 && pages < 80, `${pages} pages`);
  }, { colorScheme: "dark" }));

test("is readable without scripts", () =>
  open("atlas.html", async (page) => {
    assert.equal(await shown(page).count(), 27);
    assert.equal(await page.locator(".filter").isVisible(), false);
    assert(await page.locator("#people tbody tr").first().isVisible());
    await page.locator("label", { hasText: "gemma" }).click();
    assert(await rows(page, 1).first().isVisible() && !(await rows(page, 0).first().isVisible()));
  }, { javaScriptEnabled: false }));

test("440 languages open and filter without a wait", () =>
  open("atlas-440.html", async (page) => {
    const opened = await page.evaluate(() => performance.getEntriesByType("navigation")[0].domComplete);
    const filtered = await page.evaluate(async () => {
      const field = document.querySelector("[name=text]");
      const times = [];
      for (const text of ["a", "ar", "ara", "arab", ""]) {
        const start = performance.now();
        field.value = text;
        field.dispatchEvent(new Event("input", { bubbles: true }));
        document.body.getBoundingClientRect();
        times.push(performance.now() - start);
      }
      return Math.max(...times);
    });
    console.log(`440 languages: open after ${opened.toFixed(0)} ms, filtered in at most ${filtered.toFixed(0)} ms`);
    await page.selectOption("[name=region]", "Africa");
    assert(await shown(page).count() < 440);
    await page.locator("#table tbody tr:visible a").nth(20).click();
    assert.match(page.url(), /#lang-/);
    const box = await page.locator(`#${page.url().split("#")[1]}`).boundingBox();
    assert(box.y >= -5 && box.y < 700, `the section is at ${box.y}`);
  }));
