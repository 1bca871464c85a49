// A confusion matrix as a table of coloured cells: shares of each row, errors in another colour than what is right.
const CELL_SIZES = [7, 12, 20, 30, 42]; // pixels; counts are written from the third on
const MOST_LABELS = [12, 25, 50, 100, 200];

function drawMatrix(place, data) {
  const size = data.labels.length;
  const rows = Array.from({ length: size }, () => new Map());
  const totals = new Array(size).fill(0);
  const errors = new Array(size).fill(0); // of both kinds: its rows answered otherwise, other rows answered so
  for (const [i, j, count] of data.cells) {
    rows[i].set(j, count);
    totals[i] += count;
    if (i !== j) {
      errors[i] += count;
      errors[j] += count;
    }
  }
  const state = { order: size > 25 ? "errors" : "table", most: Math.min(size, 25), zoom: size > 25 ? 2 : size > 12 ? 3 : 4 };
  const said = element("p", { class: "said", role: "status" });
  const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": data.title });

  function order() {
    const numbers = data.labels.map((_, number) => number);
    const by = {
      table: () => 0,
      errors: (a, b) => errors[b] - errors[a],
      rows: (a, b) => totals[b] - totals[a],
      name: (a, b) => data.labels[a].localeCompare(data.labels[b], "en", { numeric: true }),
    };
    return numbers.sort((a, b) => by[state.order](a, b) || a - b).slice(0, state.most);
  }

  function sentence(i, j, count) {
    const answered = i === j ? "were answered so" : `were answered '${data.labels[j]}'`;
    return `${figure(count)} of ${figure(totals[i])} '${data.labels[i]}' rows ${answered}`;
  }

  function drawCells() {
    const shown = order();
    const head = element("tr", {}, element("td", { class: "corner" }, "row: label, column: answer"), ...shown.map((j) => element("th", { scope: "col", title: data.labels[j] }, element("span", {}, short(data.labels[j])))));
    const lines = shown.map((i) => {
      const cells = shown.map((j) => {
        const count = rows[i].get(j);
        if (!count) return element("td");
        const cell = element("td", { class: i === j ? "hit" : "miss", title: sentence(i, j, count) }, CELL_SIZES[state.zoom] < 20 ? "" : figure(count));
        cell.style.setProperty("--share", Math.sqrt(count / totals[i])); // on a linear scale a few percent look like none
        return cell;
      });
      return element("tr", {}, element("th", { scope: "row", title: data.labels[i] }, short(data.labels[i])), ...cells);
    });
    const table = element("table", { class: "grid-of-counts" }, element("thead", {}, head), element("tbody", {}, ...lines));
    table.style.setProperty("--cell", `${CELL_SIZES[state.zoom]}px`);
    table.classList.toggle("small", CELL_SIZES[state.zoom] < 20);
    table.addEventListener("mouseover", (event) => {
      if (event.target.title) said.textContent = event.target.title;
    });
    scroll.replaceChildren(table);
    nearer.disabled = state.zoom === CELL_SIZES.length - 1;
    farther.disabled = state.zoom === 0;
    const inShown = new Set(shown);
    const hidden = data.cells.reduce((sum, [i, j, count]) => sum + (i !== j && !(inShown.has(i) && inShown.has(j)) ? count : 0), 0);
    said.textContent = shown.length < size ? `${shown.length} of ${size} labels; ${figure(hidden)} errors are with labels not shown` : "";
  }

  function zoom(steps) {
    state.zoom = Math.min(CELL_SIZES.length - 1, Math.max(0, state.zoom + steps));
    drawCells();
  }

  const farther = element("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoom(-1) }, "−");
  const nearer = element("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoom(1) }, "+");
  const orders = [["table", "as in the table"], ["errors", "most errors first"], ["rows", "most rows first"], ["name", "by name"]];
  const change = (name) => (value) => {
    state[name] = name === "most" ? Number(value) : value;
    drawCells();
  };
  const orderChoice = choice("Order", orders, change("order"));
  orderChoice.querySelector("select").value = state.order;
  const tools = element("div", { class: "tools" }, orderChoice);
  if (size > MOST_LABELS[0]) {
    const counts = [...MOST_LABELS.filter((most) => most < size), size];
    const most = choice("Labels", counts.map((count) => [count, count === size ? `all ${size}` : String(count)]), change("most"));
    most.querySelector("select").value = state.most;
    tools.append(most);
  }
  tools.append(element("span", {}, "Zoom "), farther, nearer);
  // The keys + and − zoom while the matrix has the focus, so that it is looked at while it is.
  scroll.addEventListener("keydown", (event) => {
    if (["+", "=", "-"].includes(event.key) && !event.ctrlKey && !event.metaKey) zoom(event.key === "-" ? -1 : 1);
  });
  place.append(element("div", { class: "title" }, data.title), tools, scroll, said);
  if (data.caption) place.append(element("figcaption", {}, data.caption));
  drawCells();
}

// Ends and beginnings tell labels apart, so the middle of a long one is left out.
function short(label, longest = 28) {
  const letters = [...label];
  const half = Math.floor((longest - 1) / 2);
  return letters.length <= longest ? label : `${letters.slice(0, half).join("")}…${letters.slice(-half).join("")}`;
}
