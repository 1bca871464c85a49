// Answers, in this page, the requests that the page of serve.py sends to its server; texts go nowhere.
const access = { key: "", wanted: () => {} };
const [DECIMALS, NO_TEXT, REVIEW_WORDS, SEPARATORS] = [6, "no text", ["review", "for review"], [";", "|", "\n"]];
const GROUP = 1024; // texts of a table that are answered together
const MOST_THREADS = 4;

class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const loading = loaded();
loading.catch(() => {}); // said by whoever asks

async function loaded() {
  const parts = [halfbertModel.predictor, halfbertModel.graph, halfbertRuntime.module, halfbertRuntime.wasm];
  const [predictor, graph, module, program] = await Promise.all(parts.map(unpacked));
  const { wasm } = ort.env;
  // Browsers load no module from disk, but one that the page has made itself.
  wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([module], { type: "text/javascript" })) };
  wasm.wasmBinary = program;
  wasm.numThreads = crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
  return new Classifier(JSON.parse(new TextDecoder().decode(predictor)), session);
}

// So many bytes of a gzip that is stated as letters of 15 bits each (`halfbert.export.web.pages`).
async function unpacked([length, letters]) {
  const bytes = new Uint8Array(length);
  let [at, left, bits] = [0, 0, 0];
  for (let letter = 0; at < length; letter++) {
    left = ((left & 0xff) << 15) | (letters.charCodeAt(letter) - 0x800);
    for (bits += 15; bits >= 8 && at < length; ) bytes[at++] = (left >> (bits -= 8)) & 0xff;
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

document.getElementById("licences").addEventListener("toggle", async ({ target }) => {
  target.querySelector("pre").textContent = new TextDecoder().decode(await unpacked(halfbertRuntime.notices));
}, { once: true });

async function predictorHere() {
  let classifier;
  try {
    classifier = await loading;
  } catch (error) {
    throw new Refused(0, "unsupported", `This browser cannot run the model: ${error.message}`);
  }
  const threads = ort.env.wasm.numThreads;
  const engine = `in this browser, ${threads === 1 ? "1 thread" : `${threads} threads`}`;
  return { classifier, facts: { ...classifier.stated.facts, engine } };
}

async function requestJson(path, { body } = {}) {
  const { classifier, facts } = await predictorHere();
  if (path === "v1/predictors") return { predictors: [facts] };
  if (path.endsWith("/about")) return { card: classifier.stated.card, max_errors: classifier.stated.rules.map((rule) => rule.max_error), pictures: [] };
  if (jobs.has(path)) return jobs.get(path);
  const job = { id: String(jobs.size + 1), status: "running", name: body.name, predictor: facts.name, rows: 0 };
  jobs.set(`v1/label/${job.id}`, job);
  const query = new URLSearchParams(path.slice(path.indexOf("?")));
  labelTable(job, body, classifier, query).then(
    (done) => Object.assign(job, done, { status: "done" }),
    (error) => Object.assign(job, { status: "failed", error: error.message }),
  );
  return job;
}

function pathOf(predictor, ...parts) {
  return ["v1/predictors", predictor.name, ...parts].join("/");
}

function ruleOf({ stated }, maxError) {
  return stated.rules.find((rule) => rule.max_error === Number(maxError)) ?? null;
}

// The answer to one text, as `POST /v1/predict` gives it.
async function predict({ texts: [text], top = 0, max_error, explain, explain_label }) {
  const { classifier, facts } = await predictorHere();
  const { stated } = classifier;
  const rule = ruleOf(classifier, max_error);
  const said = { calibrated: facts.calibrated, rule: rule ? rule.line : stated.uncalibrated, engine: facts.engine };
  if (isBlank(stated.text_columns.length > 1 ? text.replaceAll(stated.separator, " ") : text)) {
    return { ...said, answers: [{ error: { code: "blank", message: "shows nothing that could be answered" } }] };
  }
  const begun = performance.now();
  const [{ tokens, probabilities }] = await classifier.answers([text]);
  const milliseconds = performance.now() - begun;
  const { answered, calibrated, confidence, review } = classifier.decide(probabilities, rule);
  const given = stated.labels.filter((_, label) => answered[label]);
  const order = Array.from(stated.labels.keys()).sort((one, other) => calibrated[other] - calibrated[one] || one - other);
  const answer = { confidence, review, tokens, cut_at: null, probabilities, ...(stated.task === "multilabel" ? { labels: given } : { label: given[0] }) };
  answer.top = order.slice(0, top).map((label) => ({ label: stated.labels[label], confidence: calibrated[label] }));
  if (tokens > stated.maxlen && stated.long !== "windows") {
    answer.cut_at = stated.maxlen;
    answer.unread = unreadParts(classifier, text);
  }
  if (explain) answer.explanation = await explained(classifier, text, explain_label);
  return { ...said, milliseconds, answers: [answer] };
}

// Start and end of each part of a text that the model does not read.
function unreadParts({ tokenizer, stated }, text) {
  const { spans } = tokenizer.encode(text);
  const kept = new Set(keptTokens(Array.from(spans.keys()), stated).flat());
  const parts = [];
  spans.forEach(([start, end], token) => {
    if (kept.has(token)) return;
    if (kept.has(token - 1)) parts.push([start, end]);
    else parts.at(-1)[1] = end;
  });
  return parts;
}

// Tables that are labelled, by their path.
const jobs = new Map();

async function request(path, { method } = {}) {
  if (method === "DELETE") jobs.get(path).stopped = true;
  const { table, name } = jobs.get(path.replace(/\/table$/, ""));
  return new Response(table, { headers: { "Content-Disposition": `filename*=utf-8''${encodeURIComponent(name)}` } });
}

// The file with the answers to its rows, as predict.py writes it, and what became of them; equal texts are answered once.
async function labelTable(job, file, classifier, query) {
  const { stated } = classifier;
  const begun = performance.now();
  const [rule, wanted] = [ruleOf(classifier, query.get("max_error")), wantedColumns(stated, query.get("text_column"))];
  const table = readTable(new Uint8Array(await file.arrayBuffer()), file.name, wanted);
  const texts = table.rows.map(({ parts }) => (parts.every(isBlank) ? null : joinedText(parts.map((part) => (isBlank(part) ? "" : part)))));
  const different = [...new Set(texts)].filter((text) => text !== null);
  const found = new Map();
  job.total = table.rows.length;
  for (let start = 0; start < different.length; start += GROUP) {
    const group = different.slice(start, start + GROUP);
    const answers = await classifier.answers(group, async (rows, all) => {
      if (job.stopped) throw new Error("Stopped.");
      job.rows = Math.floor((job.total * (start + (group.length * rows) / all)) / different.length);
      await new Promise((resolve) => setTimeout(resolve)); // the page stays usable
    });
    answers.forEach((answer, number) => found.set(group[number], { ...answer, ...classifier.decide(answer.probabilities, rule) }));
  }
  const several = stated.task === "multilabel";
  const review = REVIEW_WORDS.find((word) => !stated.labels.includes(word)) ?? REVIEW_WORDS.at(-1);
  const separator = SEPARATORS.find((sign) => !stated.labels.some((label) => label.includes(sign))) ?? SEPARATORS.at(-1);
  const guess = ({ answered }) => stated.labels.filter((_, label) => answered[label]).join(separator);
  const cells = (answer) => {
    const confidence = rounded(Math.fround(answer.confidence), DECIMALS).toFixed(DECIMALS);
    return rule ? [answer.review ? review : guess(answer), guess(answer), confidence, ""] : [guess(answer), confidence, ""];
  };
  const names = [several ? "labels" : "label", ...(rule ? ["best_guess"] : []), "confidence", "note"];
  const without = names.map((_, place) => (place === names.length - 1 ? NO_TEXT : ""));
  const added = texts.map((text) => (text === null ? without : cells(found.get(text))));
  const answers = texts.filter((text) => text !== null).map((text) => found.get(text));
  const kept = answers.filter((answer) => !answer.review);
  const labels = stated.labels.map((label, number) => [label, kept.filter(({ answered }) => answered[number]).length]);
  const cut = stated.long === "windows" ? 0 : different.filter((text) => found.get(text).tokens > stated.maxlen).length;
  const summary = {
    rows: texts.length,
    reviewed: answers.length - kept.length,
    unanswered: answers.length < texts.length ? { [NO_TEXT]: texts.length - answers.length } : {},
    without_label: kept.filter(({ answered }) => !answered.some(Boolean)).length,
    truncated: cut,
    labels: Object.fromEntries(labels),
    seconds: (performance.now() - begun) / 1000,
    engine: "in this browser",
  };
  return { table: labelledTable(table, names, added), summary };
}

// The names of the text columns: those typed, with commas between them, or the predictor's.
function wantedColumns({ text_columns: own }, typed) {
  const wanted = typed ? (own.length > 1 ? typed.split(",").map((name) => name.trim()) : [typed]) : own.length ? own : ["text"];
  if (wanted.length !== Math.max(own.length, 1)) throw new Faulty(`It was trained on ${Math.max(own.length, 1)} text columns; name as many, with commas between them.`);
  return wanted;
}
