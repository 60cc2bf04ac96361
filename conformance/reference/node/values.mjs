// The transforms of docs/mapping.md. Each returns the value, or nothing where there is none; NO_USE
// is a value of which there is no use, and of which the caller is warned.
import { createHash } from "node:crypto";
import { Num, isObject } from "./json.mjs";

export const NO_USE = Symbol("no use");

export const sha256 = (text) => createHash("sha256").update(text, "utf8").digest();
export const isUlid = (text) => /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/i.test(text);
export const isNone = (value) => value === undefined || value === null;

export function text(value) {
  if (isNone(value)) return undefined;
  return typeof value === "string" ? value.trim() || undefined : NO_USE;
}

export function identifier(value) {
  if (isNone(value)) return undefined;
  if (value instanceof Num && /^-?\d+$/.test(value.text)) return value.text;
  if (typeof value !== "string") return NO_USE;
  return value.trim() ? value : undefined;
}

export function emailAddress(value) {
  const found = text(value);
  return /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(found?.toString()) ? found : undefined;
}

// null is passed on: Customer.io unsets an attribute by it.
export function emailSha256(value) {
  if (value === null) return null;
  const found = text(value);
  if (typeof found !== "string") return found;
  const lower = found.toLowerCase();
  return /^[0-9a-f]{64}$/.test(lower) ? lower : sha256(lower).toString("hex");
}

// An ISO 8601 date, or date and time; no offset is UTC.
const ISO =
  /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?(Z|[-+]\d\d(?::?\d\d)?)?)?$/i;

export function isoSeconds(value) {
  const found = ISO.exec(value);
  if (!found) return undefined;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map((part) => Number(part ?? 0));
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const isDate = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!isDate || hour > 23 || minute > 59 || second > 59) return undefined;
  const [, sign, hours, minutes] = /^([-+])(\d\d):?(\d\d)?$/.exec(found[7] ?? "") ?? [];
  const offset = sign ? Number(`${sign}1`) * (Number(hours) * 60 + Number(minutes ?? 0)) : 0;
  return date.getTime() / 1000 + hour * 3600 + (minute - offset) * 60 + second;
}

// Seconds, milliseconds, microseconds or nanoseconds, told apart by their magnitude.
const UNITS = [
  [10n ** 11n, 1n],
  [10n ** 14n, 1000n],
  [10n ** 17n, 10n ** 6n],
];

export function unixSeconds(value) {
  if (isNone(value)) return value;
  if (typeof value === "string") {
    const trimmed = value.trim();
    if (!trimmed) return undefined;
    if (!/^-?\d+$/.test(trimmed)) return numeral(isoSeconds(trimmed)) ?? NO_USE;
    return seconds(BigInt(trimmed)) ?? NO_USE;
  }
  if (!(value instanceof Num)) return NO_USE;
  if (/^-?\d+$/.test(value.text)) return seconds(BigInt(value.text)) ?? NO_USE;
  return seconds(BigInt(Math.floor(Number(value.text)))) ?? NO_USE;
}

function seconds(number) {
  const magnitude = number < 0n ? -number : number;
  const unit = UNITS.find(([below]) => magnitude < below)?.[1] ?? 10n ** 9n;
  const cut = number / unit;
  // BigInt cuts towards zero; a time before 1970 is floored too.
  return numeral(cut * unit > number ? cut - 1n : cut);
}

// A time of the years 1 to 5138; nothing where it is none of these.
const numeral = (number) =>
  number >= -62_135_596_800 && number < 1e11 ? new Num(String(number)) : undefined;

// The longest beginning of at most so many bytes that ends with a whole character.
export function cut(value, bytes) {
  const encoded = Buffer.from(value);
  if (encoded.length <= bytes) return value;
  let end = bytes;
  while ((encoded[end] & 0xc0) === 0x80) end -= 1;
  return encoded.subarray(0, end).toString();
}

// Every text and key in a JSON value, changed.
export function mapTexts(value, change, changeKey = (key) => key) {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, change, changeKey));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([k, v]) => [changeKey(k), mapTexts(v, change, changeKey)]),
  );
}
