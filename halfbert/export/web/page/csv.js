// csv and tsv, as predict.py reads and writes them: every record passes through as it stands, with the added cells at its end.
const DELIMITERS = [",", ";", "\t", "|"];
const SNIFFED = 2 ** 16; // characters that the delimiter is recognised by
const INVISIBLE =
  "\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e" +
  "\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufff8\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}";
const WHITE_SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\u2800";
const BLANK = new RegExp(`^[${INVISIBLE}${WHITE_SPACE}]*$`, "u");

// Whether a text shows nothing.
function isBlank(text) {
  return BLANK.test(text);
}

class Faulty extends Error {}

function decodedText(bytes) {
  const begins = (...mark) => mark.every((byte, at) => bytes[at] === byte);
  if (begins(0x50, 0x4b, 3, 4) || begins(0xd0, 0xcf, 0x11, 0xe0)) throw new Faulty("This is a workbook; save it as csv.");
  const codec = begins(0xff, 0xfe) ? "utf-16le" : begins(0xfe, 0xff) ? "utf-16be" : "utf-8";
  const marked = codec !== "utf-8" || begins(0xef, 0xbb, 0xbf);
  let text;
  try {
    text = new TextDecoder(codec, { fatal: true }).decode(bytes);
  } catch {
    throw new Faulty(`This file is not ${codec.toUpperCase()} text; save it as “CSV UTF-8”.`);
  }
  const nul = text.indexOf("\0");
  if (nul >= 0) throw new Faulty(`Line ${lineAt(text, nul)} holds a NUL byte; save the file as “CSV UTF-8”.`);
  return { text, codec, marked };
}

function encodedText(text, { codec, marked }) {
  const whole = marked ? `\ufeff${text}` : text;
  if (codec === "utf-8") return whole;
  const view = new DataView(new ArrayBuffer(2 * whole.length));
  for (let at = 0; at < whole.length; at++) view.setUint16(2 * at, whole.charCodeAt(at), codec === "utf-16le");
  return view;
}

function lineAt(text, place) {
  return text.slice(0, place).split(/\r\n?|\n/).length;
}

// Each record with its text as it stands there, and its cells; an empty line has none.
function* recordsOf(text, delimiter) {
  const plain = new RegExp(`[^\\r\\n${delimiter === "\t" ? "\\t" : `\\${delimiter}`}]*`, "y");
  const quoted = /"[^"]*(?:""[^"]*)*"/y;
  const end = /\r\n?|\n|$/y;
  const take = (pattern, place) => {
    pattern.lastIndex = place;
    return pattern.exec(text)?.[0] ?? null;
  };
  for (let place = 0; place < text.length; ) {
    const start = place;
    const cells = [];
    for (;;) {
      const isQuoted = text[place] === '"';
      const cell = take(isQuoted ? quoted : plain, place);
      if (cell === null) throw new Faulty(`Line ${lineAt(text, place)} opens a double quote that is never closed.`);
      cells.push(isQuoted ? cell.slice(1, -1).replaceAll('""', '"') : cell);
      place += cell.length;
      if (text[place] === delimiter) {
        place += 1;
        continue;
      }
      const ending = take(end, place);
      if (ending === null) throw new Faulty(`The record on line ${lineAt(text, start)} has a stray double quote; a quote inside a quoted cell is written twice.`);
      place += ending.length;
      const empty = place - start === ending.length;
      yield { start, raw: text.slice(start, place), cells: empty ? [] : cells };
      break;
    }
  }
}

function nameText(cell) {
  return cell.replace(new RegExp(`[${INVISIBLE}]`, "gu"), "").replace(new RegExp(`[${WHITE_SPACE}]+`, "gu"), " ").trim();
}

function delimiterOf(text, isTsv, wanted) {
  if (isTsv) return "\t";
  const sense = (delimiter) => {
    const names = headerOf(recordsOf(text, delimiter)).cells.map(nameText);
    return 2 * wanted.filter((name) => names.includes(name)).length + (names.length > 1 ? 1 : 0);
  };
  const senses = DELIMITERS.map((delimiter) => {
    try {
      return sense(delimiter);
    } catch {
      return -1;
    }
  });
  return DELIMITERS[senses.indexOf(Math.max(...senses))];
}

function headerOf(records) {
  let raw = "";
  for (let next = records.next(); !next.done; next = records.next()) { // a loop with "of" would close the records
    raw += next.value.raw;
    if (next.value.cells.length) return { cells: next.value.cells, raw };
  }
  throw new Faulty("This file is empty.");
}

function csvLine(cells, { delimiter, quoted }) {
  const needs = new RegExp(`["\\r\\n${delimiter === "\t" ? "\\t" : `\\${delimiter}`}]`);
  return cells.map((cell) => (quoted || needs.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(delimiter);
}

// A table of some `bytes`: the parts of each row's text, its own text with what stands before it, and what stands after the last.
function readTable(bytes, fileName, wanted) {
  const { text, ...encoding } = decodedText(bytes);
  const delimiter = delimiterOf(text.slice(0, SNIFFED), /\.tsv$/i.test(fileName), wanted);
  const records = recordsOf(text, delimiter);
  const head = headerOf(records);
  const columns = head.cells.map(nameText);
  const line = head.raw.replace(/^[\r\n]+|[\r\n]+$/g, "");
  const dialect = { delimiter, quoted: csvLine(head.cells, { delimiter, quoted: true }) === line };
  const places = wanted.map((name) => {
    const found = columns.flatMap((column, place) => (column === name ? [place] : []));
    if (found.length > 1) throw new Faulty(`It has ${found.length} columns named “${name}”; give each its own name.`);
    if (!found.length) throw new Faulty(`It has no column “${name}”; its columns are ${columns.filter(Boolean).map((column) => `“${column}”`).join(", ")}.`);
    return found[0];
  });
  const rows = [];
  let before = "";
  for (const { start, raw, cells } of records) {
    if (!cells.length || (columns.length > 1 && cells.length === 1 && isBlank(cells[0]))) {
      before += raw;
      continue;
    }
    if (cells.length !== columns.length) {
      const counted = cells.length === 1 ? "1 cell" : `${cells.length} cells`;
      throw new Faulty(`Line ${lineAt(text, start)} has ${counted} and the header has ${columns.length}; a cell that holds the delimiter or a line break goes in double quotes.`);
    }
    rows.push({ raw: before + raw, parts: places.map((place) => cells[place]) });
    before = "";
  }
  return { encoding, dialect, columns, head: head.raw, rows, after: before };
}

// The table with cells added to its header and its rows, for a Blob.
function labelledTable(table, names, added) {
  const taken = new Set(table.columns);
  const columns = names.map((name) => {
    while (taken.has(name)) name = `predicted_${name}`;
    taken.add(name);
    return name;
  });
  const joined = (raw, cells) => {
    const body = raw.replace(/[\r\n]+$/, "");
    return `${body}${table.dialect.delimiter}${csvLine(cells, table.dialect)}${raw.slice(body.length)}`;
  };
  const text = joined(table.head, columns) + table.rows.map(({ raw }, row) => joined(raw, added[row])).join("") + table.after;
  return encodedText(text, table.encoding);
}
