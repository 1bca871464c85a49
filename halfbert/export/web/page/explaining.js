// Why a text has a label: what the label's log-odds lose without each word, as the method "occlusion" of `Classifier.explain`.
const JOINERS = "'’-‐‑_·.";

function kindOf(sign) {
  if (JOINERS.includes(sign)) return "joiner";
  if (sign === "\u200d" || /[\u{1f3fb}-\u{1f3ff}]/u.test(sign)) return "join";
  if (/\p{M}/u.test(sign)) return "mark";
  if (/\p{Unified_Ideograph}|[\uf900-\ufaff\u{2f800}-\u{2fa1f}]/u.test(sign)) return "ideograph";
  if (/[\p{L}\p{N}]/u.test(sign)) return "letter";
  return /[\p{Z}\p{C}]/u.test(sign) ? "space" : "sign";
}

// Start and end, in code points, of each word, punctuation mark and symbol, in any script.
function splitWords(text) {
  const spans = [];
  const signs = Array.from(text);
  const kinds = signs.map(kindOf);
  let before = "";
  signs.forEach((_, place) => {
    let kind = kinds[place];
    let extends_ = kind === "mark" || kind === "join" || (kind === "letter" && before === "letter");
    if (kind === "joiner" && before === "letter" && kinds[place + 1] === "letter") [extends_, kind] = [true, "letter"];
    if (kind !== "space") {
      const last = spans.at(-1);
      const touches = last && last[1] === place;
      if (touches && (extends_ || signs[place - 1] === "\u200d")) last[1] = place + 1;
      else spans.push([place, place + 1]);
    }
    if (kind !== "mark" && kind !== "join") before = kind;
  });
  return spans;
}

async function explained(classifier, text, label) {
  const { stated } = classifier;
  const { ids, spans } = classifier.tokenizer.encode(text);
  const words = splitWords(text);
  const wordOf = spans.map(([start, end]) => (start < end ? words.findIndex(([from, to]) => from <= start && start < to) : -1));
  const windows = keptTokens(Array.from(ids.keys()), stated);
  const read = new Set(windows.flat().map((token) => wordOf[token]));
  const asked = words.flatMap((_, word) => (read.has(word) ? [word] : []));
  // The whole text, the text of no words, and the text without each word; windows that lose nothing are answered once.
  const keeps = [() => true, (word) => word < 0, ...asked.map((left) => (word) => word !== left)];
  const variants = keeps.map((keep) => windows.map((window) => window.filter((token) => keep(wordOf[token])).map((token) => ids[token])));
  const different = new Map(variants.flat().map((row) => [row.join(), row]));
  const answers = await classifier.logits([...different.values()]);
  const byRow = new Map([...different.keys()].map((key, number) => [key, answers[number]]));
  const logits = variants.map((rows) => pooledLogits(rows.map((row) => byRow.get(row.join())), stated));
  const number = stated.labels.indexOf(label);
  const [whole, , ...without] = logits.map((each) => logOdds(each, stated.task)[number]);
  const [probability, without_words] = logits.map((each) => classifier.probabilities(each)[number]);
  const lost = new Map(asked.map((word, at) => [word, whole - without[at]]));
  const signs = Array.from(text);
  const shown = words.map(([start, end], word) => ({ text: signs.slice(start, end).join(""), start, end, contribution: lost.get(word) ?? null }));
  return { label, probability, without_words, words: shown };
}
