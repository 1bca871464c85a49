// A text with its parts marked. Places are counted in code points, as Python counts them.
const SEPARATOR = "[SEP]"; // between the text columns of a predictor that has several
const SHARE_UNDERLINED = 0.15; // of the strongest word: below it a colour is hardly seen either

function joinedText(parts) {
  return parts.length === 1 ? parts[0] : parts.map((part) => part.replaceAll(SEPARATOR, "[ SEP ]")).join(` ${SEPARATOR} `);
}

// The text as nodes: `marks` are {start, end, node} in their order; names of columns stand in the place of separators.
function markedText(text, marks, columns) {
  const signs = Array.from(text);
  const every = [...marks];
  if (columns.length > 1) {
    let place = 0;
    text.split(SEPARATOR).forEach((part, number) => {
      const start = number ? place - SEPARATOR.length : 0;
      every.push({ start, end: place, node: () => element("span", { class: "column" }, columns[number] ?? "") });
      place += Array.from(part).length + SEPARATOR.length;
    });
  }
  // A column's name comes before its first word, a separator before the words that it seems to hold.
  const length = ({ start, end }) => end - start || Infinity;
  every.sort((one, other) => one.start - other.start || (length(one) < length(other) ? 1 : -1));
  const nodes = [];
  let place = 0;
  for (const { start, end, node } of every) {
    if (start < place) continue; // a word of a separator
    nodes.push(signs.slice(place, start).join(""), node(signs.slice(start, end).join("")));
    place = end;
  }
  return [...nodes, signs.slice(place).join("")];
}

// What of a text was not read, pale.
function readText(text, unread, columns) {
  const marks = unread.map(([start, end]) => ({ start, end, node: (part) => element("span", { class: "unread" }, part) }));
  return element("div", { class: "words", dir: "auto" }, ...markedText(text, marks, columns));
}

function signed(number) {
  return `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;
}

// The words of an explanation, coloured; one of them is in the order of the tab key, and the arrow keys lead to the others.
function explainedText(text, explanation, columns) {
  const known = explanation.words.filter((word) => word.contribution != null);
  const strongest = Math.max(...known.map((word) => Math.abs(word.contribution)), 1e-6);
  const said = element("p", { class: "said chosen", "aria-hidden": "true" }, "Point at a word, or go from word to word with the arrow keys.");
  const spans = [];
  const marks = explanation.words.map(({ start, end, contribution }) => {
    const node = (part) => {
      if (contribution == null) return element("span", { class: "unread" }, part);
      const share = Math.abs(contribution) / strongest;
      const kind = contribution > 0 ? "for" : "against";
      const span = element("span", { class: `word ${kind}${share < SHARE_UNDERLINED ? " weak" : ""}`, tabindex: spans.length ? -1 : 0 }, part, element("span", { class: "unseen" }, ` ${signed(contribution)} `));
      span.style.setProperty("--share", share);
      const show = () => (said.textContent = `${part}: ${signed(contribution)}`);
      span.addEventListener("mouseenter", show);
      span.addEventListener("focus", show);
      spans.push(span);
      return span;
    };
    return { start, end, node };
  });
  const name = `What each word adds to ${explanation.label}`;
  const words = element("div", { class: "words", dir: "auto", role: "group", "aria-label": name }, ...markedText(text, marks, columns));
  words.addEventListener("keydown", (event) => {
    const forward = getComputedStyle(words).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
    const here = spans.indexOf(event.target);
    const to = { ArrowLeft: here - 1, ArrowRight: here - 1, [forward]: here + 1, Home: 0, End: spans.length - 1 }[event.key];
    if (here < 0 || !spans[to]) return;
    event.preventDefault();
    spans[here].tabIndex = -1;
    spans[to].tabIndex = 0;
    spans[to].focus();
  });
  const table = element("figure");
  const rows = known.map((word) => [word.text, word.contribution]);
  drawTable(table, { columns: [{ title: "word", kind: "label" }, { title: "adds", kind: "number", decimals: 2 }], rows, caption: name, search: false, filters: [], marked: [], page_size: 20 });
  const legend = element("p", { class: "said" }, element("span", { class: "key for" }, "for it"), " ", element("span", { class: "key against" }, "against it"), ", in log-odds: what the label loses without the word.");
  return [words, said, legend, element("details", {}, element("summary", {}, "The words as a table"), table)];
}
