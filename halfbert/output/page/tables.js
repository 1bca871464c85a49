"use strict";
// Elements from plain values: text is set as text, never as HTML.
function element(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "rect", "circle", "text", "polygon"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function figure(value, decimals) {
  if (value == null) return "–";
  if (typeof value !== "number") return String(value);
  const digits = decimals ?? (Number.isInteger(value) ? 0 : 3);
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// "12.3%", and 0% and 100% of none and all only, as in Python's `percent`.
function percent(share) {
  if (share > 0 && share < 0.0005) return "<0.1%";
  if (share < 1 && share >= 0.9995) return ">99.9%";
  return `${(100 * share).toFixed(share > 0 && share < 1 ? 1 : 0)}%`;
}

function choice(title, options, changed) {
  const select = element("select", { onchange: () => changed(select.value) });
  for (const [value, shown] of options) select.append(element("option", { value }, shown));
  return element("label", {}, title, select);
}

// A table of which a page of rows is in the document at a time.
function drawTable(place, data) {
  const shownRows = data.rows.map((cells, number) => ({ cells, number }));
  const lists = data.columns.map((column) => column.kind === "labels");
  const joined = (cells) => cells.map((cell, column) => (lists[column] ? (cell ?? []).join("; ") : Array.isArray(cell) ? cell.at(-1) : cell));
  const words = data.search ? data.rows.map((cells) => joined(cells).join("\n").toLowerCase()) : [];
  // What a filter knows of a cell: its value, or each of its labels.
  const valuesOf = (cells, column) => (lists[column] ? (cells[column]?.length ? cells[column] : ["–"]) : [String(cells[column] ?? "–")]);
  const marked = new Set(data.marked);
  const state = { search: "", filters: new Map(), sorted: null, falling: false, first: 0, all: false };
  const numeric = (column) => ["number", "share", "bar"].includes(column.kind);
  const sortValue = (cell, column) => (lists[column] ? cell.join("; ") : Array.isArray(cell) ? cell[0] : cell);

  function chosen() {
    const rows = shownRows.filter(
      (row) =>
        (!state.search || words[row.number].includes(state.search)) &&
        [...state.filters].every(([column, value]) => value === "" || valuesOf(row.cells, column).includes(value)),
    );
    if (state.sorted === null) return rows;
    const sign = state.falling ? -1 : 1;
    return rows.sort((one, other) => {
      const [a, b] = [one, other].map((row) => sortValue(row.cells[state.sorted], state.sorted));
      if (a == null || b == null) return (a == null) - (b == null); // what is missing comes last, either way
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
      return sign * order || one.number - other.number;
    });
  }

  function cell(column, value, first) {
    const kind = numeric(column) ? (column.kind === "bar" ? "measured" : "number") : column.kind;
    const heading = first && column.kind === "label";
    const made = element(heading ? "th" : "td", { class: kind, scope: heading && "row" });
    if (column.kind === "bar" && value != null) {
      const [share, low, high] = Array.isArray(value) ? value : [value];
      if (share == null) return made.append("–"), made;
      const bar = element("svg", { "aria-hidden": "true" }, element("rect", { class: "bar", height: "100%", width: `${100 * share}%` }));
      if (low != null && high != null) bar.append(element("line", { class: "whisker", x1: `${100 * low}%`, x2: `${100 * high}%`, y1: "50%", y2: "50%" }));
      made.append(bar, figure(share, column.decimals ?? 3));
      if (low != null && high != null) made.append(` (${figure(low, 2)} to ${figure(high, 2)})`);
    } else if (column.kind === "labels") made.append((value ?? []).join("; ") || "–");
    else if (Array.isArray(value)) made.append(value.at(-1) ?? "–");
    else if (column.kind === "share" && value != null) made.append(percent(value));
    else made.append(figure(value, column.decimals));
    return made;
  }

  const heads = data.columns.map((column, number) => {
    const sort = element("button", { type: "button", title: column.note || false }, column.title);
    sort.addEventListener("click", () => {
      // Numbers first fall, words first rise: what is looked for stands on top.
      state.falling = state.sorted === number ? !state.falling : numeric(column);
      state.sorted = number;
      state.first = 0;
      draw();
    });
    return element("th", { scope: "col", class: numeric(column) && column.kind !== "bar" ? "number" : column.kind }, sort);
  });
  const body = element("tbody");
  const said = element("span", { role: "status" });
  const back = element("button", { type: "button", onclick: () => turn(-1) }, "Previous");
  const on = element("button", { type: "button", onclick: () => turn(1) }, "Next");

  function turn(pages) {
    state.first = Math.max(0, state.first + pages * data.page_size);
    draw();
  }

  function draw() {
    const rows = chosen();
    const end = state.all ? rows.length : state.first + data.page_size;
    const page = rows.slice(state.first, end);
    body.replaceChildren(
      ...page.map((row) =>
        element("tr", { class: marked.has(row.number) ? "pale" : false }, ...data.columns.map((column, number) => cell(column, row.cells[number], number === 0))),
      ),
    );
    heads.forEach((head, number) => {
      if (number === state.sorted) head.setAttribute("aria-sort", state.falling ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const all = rows.length === data.rows.length ? "" : ` (of ${figure(data.rows.length)})`;
    said.textContent = rows.length ? `Rows ${figure(state.first + 1)} to ${figure(state.first + page.length)} of ${figure(rows.length)}${all}` : `No rows${all}`;
    back.disabled = state.first === 0;
    on.disabled = end >= rows.length;
    back.hidden = on.hidden = rows.length <= data.page_size;
    said.hidden = back.hidden && rows.length === data.rows.length;
  }

  const tools = element("div", { class: "tools" });
  if (data.search) {
    const input = element("input", { type: "search" });
    input.addEventListener("input", () => {
      state.search = input.value.trim().toLowerCase();
      state.first = 0;
      draw();
    });
    tools.append(element("label", {}, "Search", input));
  }
  for (const column of data.filters) {
    const counts = new Map();
    for (const value of data.rows.flatMap((row) => valuesOf(row, column))) counts.set(value, (counts.get(value) ?? 0) + 1);
    const values = [...counts].sort((one, other) => one[0].localeCompare(other[0], "en", { numeric: true }));
    const options = [["", "all"], ...values.map(([value, count]) => [value, `${value.length > 40 ? value.slice(0, 39) + "…" : value || "(none)"} (${count})`])];
    tools.append(
      choice(data.columns[column].title, options, (value) => {
        state.filters.set(column, value);
        state.first = 0;
        draw();
      }),
    );
  }
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body);
  const name = data.caption || data.columns.map((column) => column.title).join(", ");
  if (data.caption) place.append(element("figcaption", {}, data.caption));
  place.append(tools, element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, table));
  place.append(element("div", { class: "tools" }, back, on, said));
  draw();
  // Paper shows more than a screenful, yet not thousands of rows.
  addEventListener("beforeprint", () => {
    state.all = chosen().length <= 100;
    draw();
  });
  addEventListener("afterprint", () => {
    state.all = false;
    draw();
  });
}
