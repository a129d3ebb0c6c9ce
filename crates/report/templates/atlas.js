// Sorting, filtering and the map's keys; everything is readable without it.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Sortable columns: a button in each header, aria-sort on the sorted one.
  for (const table of all("table[data-sortable]")) {
    const body = table.tBodies[0];
    const headers = all("thead th[data-kind]", table);
    for (const header of headers) {
      const button = document.createElement("button");
      button.type = "button";
      if (header.querySelector(".name")) button.append(...header.childNodes);
      else {
        const name = document.createElement("span");
        name.className = "name";
        name.append(...header.childNodes);
        button.append(name);
      }
      header.append(button);
      const column = Number(header.dataset.column ?? header.cellIndex);
      button.addEventListener("click", () => {
        const now = header.getAttribute("aria-sort");
        const first = header.dataset.first ?? "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const next = now === first ? other : first;
        for (const each of headers) each.removeAttribute("aria-sort");
        header.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const compare = header.dataset.kind === "number"
          ? (a, b) => Number(a) - Number(b)
          : new Intl.Collator("en").compare;
        const rows = [...body.rows].map((row) => ({ row, key: row.cells[column].dataset.sort }));
        rows.sort(({ key: x }, { key: y }) => {
          // What was not measured stays at the end, either way.
          if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
          return sign * compare(x, y);
        });
        body.append(...rows.map(({ row }) => row));
      });
    }
  }

  // A map is one stop of the Tab key; the arrow keys go from sign to sign, Enter follows the link.
  const stop = (map) => {
    const dots = all("a.dot", map);
    const now = dots.find((dot) => dot.tabIndex === 0 && !dot.hasAttribute("data-off"));
    const first = now ?? dots.find((dot) => !dot.hasAttribute("data-off"));
    for (const dot of dots) {
      const index = dot === first ? "0" : "-1";
      if (dot.getAttribute("tabindex") !== index) dot.setAttribute("tabindex", index);
    }
  };
  const place = (dot) => {
    const box = dot.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  for (const map of all("svg.map")) {
    for (const dot of all("a.dot", map)) dot.setAttribute("tabindex", "-1");
    stop(map);
    map.addEventListener("keydown", (event) => {
      const from = event.target.closest("a.dot");
      const arrow = arrows[event.key];
      if (!from || !arrow || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const [x, y] = place(from);
      let best;
      for (const dot of all("a.dot:not([data-off])", map)) {
        if (dot === from) continue;
        const [dx, dy] = place(dot).map((end, axis) => end - [x, y][axis]);
        const ahead = dx * arrow[0] + dy * arrow[1];
        if (ahead <= 0) continue;
        // Straight ahead counts once, aside twice.
        const aside = Math.abs(dx * arrow[1]) + Math.abs(dy * arrow[0]);
        const cost = ahead + 2 * aside;
        if (!best || cost < best.cost) best = { dot, cost };
      }
      if (!best) return;
      from.setAttribute("tabindex", "-1");
      best.dot.setAttribute("tabindex", "0");
      best.dot.focus();
    });
  }

  const form = document.querySelector(".filter");
  if (!form) return;
  const root = document.documentElement;
  // Without accents, so that "espanol" finds español.
  const fold = (text) => text.toLowerCase().normalize("NFD").replace(/[\u0300-\u036f]/g, "").normalize("NFC");
  const languages = all("article.language").map(({ dataset }) => ({
    code: dataset.code,
    iso: dataset.iso,
    search: fold(dataset.search),
    script: dataset.script,
    family: dataset.family,
    regions: dataset.regions,
    speakers: dataset.speakers === undefined ? undefined : Number(dataset.speakers),
    verdicts: new Map(dataset.verdicts.trim().split(" ").map((pair) => pair.split(":"))),
  }));
  const marked = new Map(languages.map(({ code }) => [code, []]));
  for (const element of all("[data-code]")) marked.get(element.dataset.code)?.push(element);
  const model = () => document.querySelector("input[name=model]:checked")?.value ?? "0";
  const value = (name) => form.elements[name]?.value ?? "";
  const fields = ["text", "region", "family", "script", "from", "below"];
  const boxes = all("input[name=verdict]", form);
  const fit = () => root.style.setProperty("--filter", `${form.offsetHeight}px`);

  // Counts in words, as everywhere on the page: 45.2 million.
  const people = (count) => {
    if (count < 1e6) return count.toLocaleString("en");
    const [unit, name] = count < 1e9 ? [1e6, "million"] : [1e9, "billion"];
    const x = count / unit;
    const text = x.toFixed(x < 10 ? 2 : x < 100 ? 1 : 0);
    return `${text.includes(".") ? text.replace(/\.?0+$/, "") : text} ${name}`;
  };

  // The speakers of what is shown, by verdict of each model.
  const sums = (shown) => {
    for (const table of all("#people .of-model")) {
      for (const row of all("tr[data-verdict]", table)) {
        const counted = new Map();
        let n = 0, unknown = 0;
        for (const { code, iso, speakers, verdicts } of languages) {
          if (!shown.has(code) || verdicts.get(table.dataset.model) !== row.dataset.verdict) continue;
          n += 1;
          if (speakers === undefined) unknown += 1;
          else counted.set(iso, speakers);
        }
        const sum = [...counted.values()].reduce((a, b) => a + b, 0);
        const cells = row.querySelectorAll("td");
        cells[0].textContent = n;
        cells[1].firstChild.textContent = n > unknown ? people(sum) : "–";
        cells[2].textContent = unknown;
      }
    }
  };

  // The filter in the address, so that a filtered atlas can be linked: #?region=Africa&from=1000000
  const address = () => {
    const query = new URLSearchParams();
    for (const name of fields) if (value(name)) query.set(name, value(name));
    const on = boxes.filter((box) => box.checked).map((box) => box.value);
    if (on.length < boxes.length) query.set("verdict", on.join(","));
    if (model() !== "0") query.set("model", model());
    return query.toString();
  };
  const read = (query) => {
    for (const name of fields) {
      const field = form.elements[name];
      if (!field) continue;
      const wanted = query.get(name) ?? "";
      field.value = wanted;
      // A value that this atlas does not have is no filter.
      if (field.value !== wanted) field.value = "";
    }
    const on = query.get("verdict")?.split(",");
    for (const box of boxes) box.checked = !on || on.includes(box.value);
    const radio = document.getElementById(`model-${query.get("model") ?? "0"}`);
    if (radio) radio.checked = true;
  };

  const note = document.querySelector("#people .filtered");
  let hidden = new Set();
  const apply = () => {
    const words = fold(value("text")).split(/\s+/).filter(Boolean);
    const [region, family, script, from, below] = fields.slice(1).map(value);
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const of = model();
    const shown = new Set();
    for (const language of languages) {
      const verdict = language.verdicts.get(of);
      const { speakers } = language;
      if (words.every((word) => language.search.includes(word))
        && (!region || language.regions.includes(`|${region}|`))
        && (!family || language.family === family)
        && (!script || language.script === script)
        && (!from || speakers >= Number(from))
        && (!below || (below === "unknown" ? speakers === undefined : speakers < Number(below)))
        && (verdict === undefined || verdicts.has(verdict))) shown.add(language.code);
    }
    const off = new Set(languages.map(({ code }) => code).filter((code) => !shown.has(code)));
    for (const [code, elements] of marked) {
      if (off.has(code) === hidden.has(code)) continue;
      for (const element of elements) {
        element.toggleAttribute("data-off", off.has(code));
        if (!element.matches("a.dot")) continue;
        if (off.has(code)) element.setAttribute("aria-hidden", "true");
        else element.removeAttribute("aria-hidden");
      }
    }
    hidden = off;
    for (const map of all("svg.map")) stop(map);
    const count = off.size
      ? `${shown.size} of ${languages.length} languages` : `${languages.length} languages`;
    const output = form.querySelector("output");
    if (output.value !== count) output.value = count;
    note.textContent = `Only the ${count} that the filter leaves.`;
    note.hidden = !off.size;
    form.querySelector("button[type=reset]").hidden = !off.size && !fields.some(value);
    sums(shown);
    fit();
  };
  const changed = () => {
    apply();
    const query = address();
    if (query) history.replaceState(null, "", `#?${query}`);
    else if (location.hash.startsWith("#?")) history.replaceState(null, "", location.href.split("#")[0]);
  };
  const followed = () => {
    if (location.hash.startsWith("#?")) {
      read(new URLSearchParams(location.hash.slice(2)));
      apply();
    }
  };
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => {
    changed();
    form.elements.text.focus();
  }));
  for (const radio of all("input[name=model]")) radio.addEventListener("change", changed);
  addEventListener("hashchange", followed);
  addEventListener("resize", fit);
  followed();
  apply();
})();
