// BERT's WordPiece by tables of the Rust library (`halfbert.export.web.tokenizer`): no answer depends on the browser's Unicode.
const [REMOVED, PADDED, MAPPED, SEPARATE, WHITE, MARK, DIVIDES, HANGUL] = [1, 2, 4, 8, 16, 32, 64, 128];
const SPACE = 32;

// What becomes of each code point, as bits.
function signTable(tables) {
  const table = new Uint8Array(0x110000);
  const set = (ranges, bit) => {
    for (let at = 0; at < ranges.length; at += 2) for (let point = ranges[at]; point <= ranges[at + 1]; point++) table[point] |= bit;
  };
  set(tables.removed, REMOVED);
  set(tables.padded, PADDED);
  set(tables.separate, SEPARATE);
  set(tables.white, WHITE);
  set(tables.divides, DIVIDES);
  if (tables.hangul) set([0xac00, 0xd7a3], HANGUL);
  for (const sign of Object.keys(tables.mapped)) table[sign.codePointAt(0)] |= MAPPED;
  for (const sign of Object.keys(tables.marks)) table[sign.codePointAt(0)] |= MARK;
  return table;
}

class Tokenizer {
  constructor(tables) {
    this.tables = tables;
    this.signs = signTable(tables);
    this.ids = new Map(tables.pieces.map((piece, id) => [piece, id]));
    this.longest = tables.pieces.reduce((longest, piece) => Math.max(longest, piece.length), 0);
    const special = Object.keys(tables.special).sort((one, other) => other.length - one.length);
    this.special = new RegExp(`(${special.map((text) => text.replace(/[^\w\s]/g, "\\$&")).join("|")})`, "u");
  }

  // The ids of a text's tokens, and `spans`: where each begins and ends, in code points.
  encode(text) {
    const { ends, special } = this.tables;
    const found = { ids: [ends[0]], spans: [[0, 0]] };
    let place = 0;
    for (const part of text.replace(/\p{Surrogate}/gu, "?").split(this.special)) {
      const points = Array.from(part, (sign) => sign.codePointAt(0));
      if (Object.hasOwn(special, part)) this.add(found, special[part], place, place + points.length);
      else this.words(found, this.normalised(points, place));
      place += points.length;
    }
    this.add(found, ends[1], 0, 0);
    return found;
  }

  add(found, id, start, end) {
    found.ids.push(id);
    found.spans.push([start, end]);
  }

  // The code points that the normaliser leaves, and which code point of the text each comes from.
  normalised(points, place) {
    const { signs, tables } = this;
    const left = { points: [], from: [] };
    let fixed = 0; // marks are put in order as far as here
    const order = (point) => tables.marks[String.fromCodePoint(point)];
    const emit = (point, source) => {
      let at = left.points.length;
      if (!(signs[point] & MARK)) fixed = at + 1;
      else while (at > fixed && order(left.points[at - 1]) > order(point)) at--;
      left.points.splice(at, 0, point);
      left.from.splice(at, 0, source);
    };
    points.forEach((point, number) => {
      const sign = signs[point];
      const source = place + number;
      if (sign & DIVIDES) fixed = left.points.length;
      if (sign & REMOVED) return;
      if (sign & (PADDED | MAPPED | HANGUL)) {
        const text = String.fromCodePoint(point);
        const made = sign & PADDED ? ` ${text} ` : sign & MAPPED ? tables.mapped[text] : text.normalize("NFD");
        for (const each of made) emit(each.codePointAt(0), source);
      } else emit(point, source);
    });
    return left;
  }

  words(found, { points, from }) {
    let start = 0;
    for (let at = 0; at <= points.length; at++) {
      const sign = at < points.length ? this.signs[points[at]] : WHITE;
      if (!(sign & (WHITE | SEPARATE))) continue;
      if (at > start) this.pieces(found, points.slice(start, at), from.slice(start, at));
      if (sign & SEPARATE) this.pieces(found, [points[at]], [from[at]]);
      start = at + 1;
    }
  }

  // The longest pieces that a word begins with, one after the other; the unknown token where there is none.
  pieces(found, points, from) {
    const { unknown, continues, longest_word } = this.tables;
    const made = [];
    let start = points.length > longest_word ? -1 : 0;
    while (start >= 0 && start < points.length) {
      let end = Math.min(points.length, start + this.longest);
      let id;
      for (; end > start; end--) {
        id = this.ids.get((start ? continues : "") + String.fromCodePoint(...points.slice(start, end)));
        if (id !== undefined) break;
      }
      if (id !== undefined) made.push([id, from[start], from[end - 1] + 1]);
      start = id === undefined ? -1 : end;
    }
    if (start < 0) this.add(found, unknown, from[0], from.at(-1) + 1);
    else for (const piece of made) this.add(found, ...piece);
  }
}
