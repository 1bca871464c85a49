// What a predictor states about itself: its facts, the scores of all side by side, its model card and the run's pictures.
const ANSWERS = { multiclass: "one label a text", multilabel: "any number of labels a text" };

function facts(predictor) {
  const ways = { cut: "longer texts are cut", "head-tail": "of longer texts head and tail are read", windows: "longer texts are read in windows" };
  const known = [
    ["answers", `${ANSWERS[predictor.task]}, of ${predictor.labels.length}`],
    ["reads", `${predictor.maxlen} tokens; ${ways[predictor.long] ?? predictor.long}`],
    ["text columns", predictor.text_columns.join(", ")],
    ["model", predictor.model ?? "unknown"],
    ["engine", predictor.engine],
    ["confidence", predictor.calibrated ? "calibrated" : "not calibrated"],
    ["weights (SHA-256)", `${predictor.weights_sha256.slice(0, 12)}…`],
  ];
  return element("dl", {}, ...known.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function scoresTable(predictors) {
  const names = [...new Set(predictors.flatMap((predictor) => Object.keys(predictor.test ?? {})))];
  const rows = names.map((name) => [name.replaceAll("_", " ").replace(/\bf1\b/, "F1"), ...predictors.map((predictor) => predictor.test?.[name] ?? null)]);
  const columns = [{ title: "score", kind: "label" }, ...predictors.map(({ name }) => ({ title: name, kind: "number", decimals: 3 }))];
  const figureElement = element("figure");
  drawTable(figureElement, { columns, rows, caption: `Scores on held-out rows, ${ANSWERS[predictors[0].task]}`, search: false, filters: [], marked: [], page_size: 50 });
  return figureElement;
}

async function aboutPredictor(predictor, { card, pictures }) {
  const parts = [element("h3", {}, predictor.name), facts(predictor)];
  if (card) parts.push(element("details", {}, element("summary", {}, "Model card"), element("div", { class: "markdown" }, ...markdown(card))));
  if (pictures.length) {
    const place = element("div", { class: "pictures" });
    const details = element("details", {}, element("summary", {}, `Pictures of the run (${pictures.length})`), place);
    details.addEventListener("toggle", async () => {
      for (const name of pictures) place.append(await picture(predictor, name));
    }, { once: true });
    parts.push(details);
  }
  return element("article", { "aria-label": `About ${predictor.name}` }, ...parts);
}

async function picture(predictor, name) {
  const title = name.replace(/\.png$/, "").replaceAll("_", " ");
  try {
    return element("figure", {}, element("img", { src: await fileUrl(pathOf(predictor, "pictures", name)), alt: `${title} of ${predictor.name}` }));
  } catch (error) {
    return element("p", { class: "problem" }, `${title}: ${error.message}`);
  }
}

// The Markdown of model cards as elements: headings, lists, tables, code and paragraphs. All else stays as it is written.
function markdown(source) {
  const lines = source.replace(/^---\n[^]*?\n---\n/, "").split(/\r?\n/);
  const made = [];
  const while_ = (test) => {
    const taken = [];
    while (lines.length && test(lines[0])) taken.push(lines.shift());
    return taken;
  };
  while (lines.length) {
    const line = lines.shift();
    const heading = /^(#{1,6}) +(.*)/.exec(line);
    if (line.startsWith("```")) {
      made.push(element("pre", { tabindex: "0" }, element("code", {}, while_((next) => !next.startsWith("```")).join("\n"))));
      lines.shift();
    } else if (heading) made.push(element("h4", {}, ...inline(heading[2])));
    else if (/^[-*] /.test(line)) {
      lines.unshift(line);
      const items = while_((next) => /^([-*] |  )/.test(next)).join("\n").split(/^[-*] /m).slice(1);
      made.push(element("ul", {}, ...items.map((item) => element("li", {}, ...inline(item)))));
    } else if (line.startsWith("|")) {
      const [head, , ...rows] = [line, ...while_((next) => next.startsWith("|"))].map((row) => row.replace(/^\||\|\s*$/g, "").split(/(?<!\\)\|/));
      const cells = (row, name) => element("tr", {}, ...row.map((cell) => element(name, {}, ...inline(cell.trim().replaceAll("\\|", "|")))));
      const table = element("table", {}, element("thead", {}, cells(head, "td")), element("tbody", {}, ...rows.map((row) => cells(row, "td"))));
      made.push(element("div", { class: "scroll", tabindex: "0" }, table));
    } else if (line.trim()) made.push(element("p", {}, ...inline([line, ...while_((next) => next.trim() && !/^(#|```|\||[-*] )/.test(next))].join("\n"))));
  }
  return made;
}

function inline(text) {
  return text.split(/(`[^`]+`)/).map((part) => (/^`.+`$/s.test(part) ? element("code", {}, part.slice(1, -1)) : part));
}
