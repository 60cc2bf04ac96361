// The settings that change the mapping, from the variables that docs/standard.md lists.
import { Num, isObject, stringify } from "./json.mjs";
import { isUlid, isoSeconds, mapTexts, sha256, unixSeconds } from "./values.mjs";

export function readOptions(environment) {
  const is = (name, value) => environment[`CIO_${name}`] === value;
  const paths = (name) => environment[`CIO_${name}`]?.split(",").map(readPath);
  return {
    ulids: is("EVENT_ID", "ulid"),
    dates: is("DATES", "unix_seconds"),
    identifyTimestamp: is("IDENTIFY_TIMESTAMP", "true"),
    hashOnly: is("EMAIL", "hash_only"),
    truncate: is("LIMITS", "truncate"),
    allow: paths("ALLOW_PROPERTIES"),
    deny: paths("DENY_PROPERTIES"),
  };
}

// `address.street` in parts; a key that holds a dot stands in double quotes.
const readPath = (path) =>
  path.trim().match(/"[^"]*"|[^."]+/g).map((key) => key.replaceAll('"', ""));

// CIO_EMAIL=hash_only: an event in which every address is its hash.
const ADDRESS = /[^\s@<>()[\]{}"',;:]+@[^\s@<>()[\]{}"',;:]*[^\s@<>()[\]{}"',;:.]/g;
const hashed = (text) => text.replace(ADDRESS, (a) => sha256(a.toLowerCase()).toString("hex"));
export const withoutAddresses = (event) => mapTexts(event, hashed, hashed);

// An event's properties as its data may have them.
export function copied(properties, { dates, allow, deny }) {
  let data = allow ? pick(properties, allow) : { ...properties };
  for (const path of deny ?? []) data = omit(data, path);
  return dates ? withSeconds(data) : data;
}

function pick(object, paths) {
  const own = (key) => paths.filter(([first]) => first === key);
  return keep(object, (key, value) => {
    const rests = own(key).map((path) => path.slice(1));
    if (rests.some((rest) => rest.length === 0)) return value;
    return rests.length && isObject(value) ? pick(value, rests) : undefined;
  });
}

function omit(object, [first, ...rest]) {
  return keep(object, (key, value) => {
    if (key !== first) return value;
    return rest.length ? (isObject(value) ? omit(value, rest) : value) : undefined;
  });
}

const IDS = new Set(["id", "email", "anonymous_id"]);

const withSeconds = (data) => {
  const change = (text) => {
    const seconds = isoSeconds(text);
    return seconds === undefined ? text : new Num(String(seconds));
  };
  return keep(data, (key, value) => (IDS.has(key) ? value : mapTexts(value, change)));
};

const keep = (object, change) =>
  Object.fromEntries(
    Object.entries(object).map(([k, v]) => [k, change(k, v)]).filter(([, v]) => v !== undefined),
  );

// CIO_LIMITS=truncate: leaves the largest of the properties out until the data fits.
export function fitted(data, fixed, bytes, warn) {
  const size = (value) => Buffer.byteLength(stringify(value));
  const largest = Object.keys(data)
    .filter((key) => !fixed.has(key))
    .sort((a, b) => size(data[b]) - size(data[a]));
  const left = { ...data };
  while (size(left) > bytes && largest.length) {
    const key = largest.shift();
    delete left[key];
    warn(`properties.${key}`, "left out: the data is over 100,000 bytes");
  }
  return left;
}

const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

// CIO_EVENT_ID=ulid: the id itself, or a ULID that is always the same for the same event.
export function ulidOf(id, event) {
  if (isUlid(id)) return id;
  const times = [event.timestamp, event.originalTimestamp].map(unixSeconds);
  const seconds = times.find((time) => time instanceof Num)?.text ?? "0";
  return ulid(BigInt(seconds) * 1000n, sha256(id).subarray(0, 10));
}

// 48 bits of milliseconds and 80 others.
export function ulid(milliseconds, bytes) {
  let bits = (milliseconds << 80n) | BigInt(`0x${bytes.toString("hex")}`);
  let letters = "";
  for (let place = 0; place < 26; place += 1) {
    letters = CROCKFORD[Number(bits & 31n)] + letters;
    bits >>= 5n;
  }
  return letters;
}
