// The profile `documented`: from an event of the Segment spec to one request of the Track API v1.
import { randomBytes } from "node:crypto";
import { Num, isObject, stringify } from "./json.mjs";
import { copied, fitted, ulid, ulidOf, withoutAddresses } from "./options.mjs";
import * as values from "./values.mjs";

const { NO_USE } = values;
const ID_BYTES = 150;
const MESSAGE_ID_BYTES = 255;
const NAME_BYTES = 100;
const DATA_BYTES = 100_000;

const NAME_FROM = {
  page: ["context.page.url", "properties.url", "name"],
  screen: ["properties.name", "name"],
  track: ["event"],
};
const TYPE = { page: "page", screen: "screen", track: "event" };

// An event that can't be sent; `violations` are all that is wrong with it.
export class Rejected extends Error {
  constructor(violations) {
    super(violations.map((v) => `${v.field}: ${v.description}`).join("; "));
    this.violations = violations;
  }
}

export const violation = (field, reason, description) => ({ field, reason, description });

// Gives { messageId, request: { method, path, body }, warnings }. Throws Rejected.
export function map(received, receivedAt, options) {
  checkShape(received);
  const messageId = received.messageId?.trim()
    ? received.messageId
    : ulid(BigInt(Math.floor(receivedAt * 1000)), randomBytes(10));
  const original = { ...received, messageId };
  const event = options.hashOnly ? withoutAddresses(original) : original;
  const found = new Findings(event);
  const make = event.type === "identify" ? identify : happening;
  const request = make(event, found, receivedAt, options);
  if (found.violations.length) throw new Rejected(found.violations);
  return { messageId, request, warnings: [...found.warnings.values()] };
}

// Looks values up, and gathers what is to say of them.
class Findings {
  warnings = new Map();
  violations = [];

  constructor(event) {
    this.event = event;
  }

  warn(field, description) {
    if (!this.warnings.has(field)) this.warnings.set(field, { field, description });
  }

  reject(field, reason, description) {
    this.violations.push(violation(field, reason, description));
  }

  // The first path that gives a value: { field, value }; null where one of them gives just that.
  first(paths, transform) {
    let none;
    for (const field of paths) {
      const value = transform(at(this.event, field));
      if (value === NO_USE) this.warn(field, "left out: it can't be used here");
      else if (value === null) none ??= { field, value };
      else if (value !== undefined) return { field, value };
    }
    return none;
  }

  // Who it is: { field, value }, or nothing.
  person() {
    const found =
      this.first(["userId"], values.identifier) ??
      this.first(["traits.email", "context.traits.email"], values.emailAddress);
    this.checkId(found);
    if ([".", ".."].includes(found?.value))
      this.reject(found.field, "INVALID_VALUE", "expected an id, got dots, which a path drops");
    return found?.value;
  }

  anonymousId() {
    const found = this.first(["anonymousId"], values.identifier);
    this.checkId(found);
    return found?.value;
  }

  checkId(found, bytes = ID_BYTES) {
    if (!found) return;
    if (Buffer.byteLength(found.value) > bytes)
      this.reject(found.field, "TOO_LARGE", `expected at most ${bytes} bytes`);
  }
}

function identify(event, found, _, options) {
  const person = found.person();
  if (!person) found.reject("userId", "REQUIRED", "give userId, or an email address in traits");
  const rows = {
    anonymous_id: found.anonymousId(),
    email_sha256: found.first(["traits.email", "context.traits.email"], values.emailSha256)?.value,
    created_at: found.first(["traits.createdAt", "traits.created_at"], values.unixSeconds)?.value,
  };
  if (options.identifyTimestamp)
    rows._timestamp = found.first(["timestamp", "originalTimestamp"], time)?.value;
  const path = `/api/v1/customers/${encoded(person ?? "")}`;
  return { method: "PUT", path, body: withoutNone(rows) };
}

function happening(event, found, receivedAt, options) {
  const person = found.person();
  const anonymousId = found.anonymousId();
  const isInvite = event.type === "track" && !options.hashOnly && isInviting(event);
  if (!person && !anonymousId && !isInvite)
    found.reject("userId", "NO_PERSON", "give userId, an email address in traits, or anonymousId");
  found.checkId({ field: "messageId", value: event.messageId }, MESSAGE_ID_BYTES);
  const body = withoutNone({
    data: dataOf(event, found, options),
    name: nameOf(event, found),
    id: options.ulids ? ulidOf(event.messageId, event) : event.messageId,
    timestamp:
      found.first(["timestamp", "originalTimestamp"], time)?.value ??
      new Num(String(Math.floor(receivedAt))),
    type: TYPE[event.type],
    anonymous_id: anonymousId,
  });
  if (person && anonymousId && body.data && "anonymous_id" in body.data)
    found.warn("anonymousId", "a property anonymous_id displaces it in v2");
  const path = person ? `/api/v1/customers/${encoded(person)}/events` : "/api/v1/events";
  return { method: "POST", path, body };
}

function nameOf(event, found) {
  const paths = NAME_FROM[event.type];
  const name = found.first(paths, values.text);
  if (!name) return found.reject(paths[0], "REQUIRED", `give one of ${paths.join(", ")}`);
  const cut = values.cut(name.value, NAME_BYTES);
  if (cut !== name.value) found.warn(name.field, `cut at ${NAME_BYTES} bytes`);
  return cut;
}

function dataOf(event, found, options) {
  const own = withoutNone({
    userId: found.first(["userId"], values.identifier)?.value,
    from:
      event.type === "screen"
        ? found.first(["properties.category", "category"], values.text)?.value
        : undefined,
  });
  if (!event.properties && !Object.keys(own).length) return undefined;
  const data = { ...copied(event.properties ?? {}, options), ...own };
  if (Buffer.byteLength(stringify(data)) <= DATA_BYTES) return data;
  if (options.truncate)
    return fitted(data, new Set(Object.keys(own)), DATA_BYTES, found.warn.bind(found));
  return found.reject("properties", "TOO_LARGE", `expected at most ${DATA_BYTES} bytes`);
}

// What is wrong with an event before anything is looked up.
function checkShape(event) {
  if (!event.type) throw new Rejected([violation("type", "UNKNOWN_TYPE", "set a call")]);
  if (!(event.type in TYPE) && event.type !== "identify")
    throw new Rejected([violation("type", "NOT_MAPPED", `no table for ${event.type}`)]);
  const violations = [];
  for (const field of ["context", "traits", "properties"]) {
    if (!values.isNone(event[field]) && !isObject(event[field]))
      violations.push(violation(field, "WRONG_TYPE", "expected an object"));
  }
  const look = (value, field) => {
    const isBad = (text) => /\0|\p{Surrogate}/u.test(text);
    const isEndless = value instanceof Num && !Number.isFinite(Number(value.text));
    if (isEndless || (typeof value === "string" && isBad(value)))
      violations.push(violation(field, "INVALID_VALUE", "a null byte, bad Unicode or no number"));
    else if (Array.isArray(value)) value.forEach((item, index) => look(item, `${field}.${index}`));
    else if (isObject(value))
      for (const [key, item] of Object.entries(value)) {
        const inner = field ? `${field}.${key}` : key;
        if (isBad(key)) violations.push(violation(inner, "INVALID_VALUE", "a bad key"));
        look(item, inner);
      }
  };
  look(event, "");
  if (violations.length) throw new Rejected(violations);
}

const at = (event, path) =>
  path.split(".").reduce((value, key) => (isObject(value) ? value[key] : undefined), event);

// A time of the event itself can't be unset: null is none.
const time = (value) => (value === null ? undefined : values.unixSeconds(value));

const isInviting = ({ properties }) => typeof values.text(properties?.recipient) === "string";

// encodeURIComponent leaves some marks as they are, which RFC 3986 reserves.
const encoded = (id) =>
  encodeURIComponent(id).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

const withoutNone = (rows) =>
  Object.fromEntries(Object.entries(rows).filter(([, value]) => value !== undefined));
