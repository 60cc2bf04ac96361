// JSON whose numbers stay as they were written: 1 is not 1.0, and 64-bit integers are exact.
import { randomUUID } from "node:crypto";

// One number, by its text.
export class Num {
  constructor(text) {
    this.text = text;
  }
}

// What stands in for a number while JSON.parse is at work; no text of a caller's can be it.
const MARK = randomUUID();
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|[[{]|[\]}]/g;
const MAX_DEPTH = 254;

// Reads JSON. Throws SyntaxError, or RangeError where it nests too deep.
export function parse(text) {
  JSON.parse(text);
  let depth = 0;
  const marked = text.replace(TOKENS, (token) => {
    if (token === "[" || token === "{") depth += 1;
    if (depth > MAX_DEPTH) throw new RangeError(`deeper than ${MAX_DEPTH} levels`);
    if (token === "]" || token === "}") depth -= 1;
    return /^[-\d]/.test(token) ? `{"${MARK}":"${token}"}` : token;
  });
  return JSON.parse(marked, (_, value) => {
    const number = value && typeof value === "object" ? value[MARK] : undefined;
    return number === undefined ? value : new Num(exact(number));
  });
}

// Writes compact JSON.
export function stringify(value) {
  if (value instanceof Num) return value.text;
  if (Array.isArray(value)) return `[${value.map(stringify).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}:${stringify(v)}`);
  return `{${members.join(",")}}`;
}

export const isObject = (value) =>
  value !== null && typeof value === "object" && !Array.isArray(value) && !(value instanceof Num);

// Whole numbers beyond 64 bits become doubles.
function exact(text) {
  if (!/^-?\d+$/.test(text)) return text;
  const whole = BigInt(text);
  if (whole >= -(2n ** 63n) && whole < 2n ** 64n) return text;
  const double = String(Number(text));
  return /^-?\d+$/.test(double) ? `${double}.0` : double;
}
