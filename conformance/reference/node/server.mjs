// A second implementation of IngestService.Send, to test the conformance suite by. It has no queue:
// an event is sent to Customer.io first, and its receipt is given then. Told by the variables of
// docs/protocol.md.
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { Num, isObject, parse, stringify } from "./json.mjs";
import { Rejected, map, violation } from "./mapping.mjs";
import { readOptions } from "./options.mjs";

const { env } = process;
const PROTOS = new URL("../../../protos", import.meta.url).pathname;
const MAX_VIOLATIONS = 12;
const TIMEOUT_MS = 30_000;

if ((env.CIO_PROFILE ?? "documented") !== "documented" || (env.CIO_API ?? "v1") !== "v1") {
  console.error("this implementation has the profile documented and the API v1 alone");
  process.exit(2);
}
const options = readOptions(env);
const credentials = Buffer.from(`${env.CIO_SITE_ID}:${env.CIO_API_KEY}`).toString("base64");
const authorization = `Basic ${credentials}`;

async function send({ request }, callback) {
  try {
    if (!request.event)
      throw new Rejected([violation("event", "REQUIRED", "the request holds no event")]);
    const mapped = map(decode(request.event), Date.now() / 1000, options);
    await deliver(mapped.request);
    const { messageId, warnings } = mapped;
    callback(null, { result: { messageId, status: "EVENT_STATUS_ACCEPTED", warnings } });
  } catch (error) {
    if (error instanceof Rejected) return callback(rejection(error));
    console.error(error);
    callback({ code: grpc.status.UNAVAILABLE, details: error.message });
  }
}

async function deliver({ method, path, body }) {
  const answer = await fetch(env.CIO_BASE_URL + path, {
    method,
    body: stringify(body),
    headers: { authorization, "content-type": "application/json" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const words = await answer.text();
  if (!answer.ok) throw new Error(`Customer.io answered ${answer.status}: ${words}`);
}

// A message as the event of the Segment spec that it stands for. Throws Rejected.
function decode(message) {
  const call = message.call ?? "";
  const inner = message[call] ?? {};
  const event = { type: call };
  for (const [key, value] of [...Object.entries(message), ...Object.entries(inner)]) {
    if (key === "call" || key === call || value === "" || value === null) continue;
    event[key] = isObject(value) ? object(value, key) : value;
  }
  return event;
}

function object({ value, struct, json }, field) {
  if (value === "struct") return plain({ kind: "structValue", structValue: struct });
  if (value !== "json") return undefined;
  try {
    // A byte order mark is no JSON.
    return parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json));
  } catch (error) {
    const reason = error instanceof RangeError ? "TOO_DEEP" : "INVALID_JSON";
    throw new Rejected([violation(field, reason, error.message)]);
  }
}

// A google.protobuf.Value; whole numbers within 2^53 are integers.
function plain({ kind, ...value }) {
  if (kind === "numberValue") return new Num(String(value.numberValue));
  if (kind === "listValue") return (value.listValue.values ?? []).map(plain);
  if (kind === "nullValue") return null;
  if (kind !== "structValue") return value[kind];
  const fields = Object.entries(value.structValue.fields ?? {});
  return Object.fromEntries(fields.map(([key, item]) => [key, plain(item)]));
}

// INVALID_ARGUMENT with a google.rpc.Status that holds a BadRequest and an ErrorInfo. Their messages
// are made of text alone, and are written here: their protos are not among ours.
function rejection(error) {
  let violations = error.violations;
  if (violations.length > MAX_VIOLATIONS)
    violations = [...violations.slice(0, MAX_VIOLATIONS - 1), violation("", "MORE", "and more")];
  const badRequest = violations.map(({ field, reason, description }) =>
    bytes(1, [bytes(1, field), bytes(2, description), bytes(3, reason)]),
  );
  const errorInfo = [bytes(1, "EVENT_REJECTED"), bytes(2, "cio-sidecar")];
  const status = Buffer.concat([
    Buffer.from([0x08, grpc.status.INVALID_ARGUMENT]),
    bytes(2, error.message),
    bytes(3, any("google.rpc.BadRequest", badRequest)),
    bytes(3, any("google.rpc.ErrorInfo", errorInfo)),
  ]);
  const metadata = new grpc.Metadata();
  metadata.set("grpc-status-details-bin", status);
  return { code: grpc.status.INVALID_ARGUMENT, details: error.message, metadata };
}

const any = (name, parts) => [
  bytes(1, `type.googleapis.com/${name}`),
  bytes(2, Buffer.concat(parts)),
];

// A field of text, bytes or an inner message, as protobuf has it on the wire.
function bytes(number, content) {
  const value = Array.isArray(content) ? Buffer.concat(content) : Buffer.from(content);
  const length = [];
  for (let left = value.length; ; left >>>= 7) {
    length.push(left > 127 ? (left & 127) | 128 : left);
    if (left <= 127) break;
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), value]);
}

// grpc.health.v1, of which a request and an answer need nothing but `status: SERVING`.
const HEALTH = {
  Check: {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    requestDeserialize: (message) => message,
    responseSerialize: () => Buffer.from([0x08, 1]),
  },
};

const definition = protoLoader.loadSync("cio/sidecar/v1/ingest.proto", {
  includeDirs: [PROTOS],
  enums: String,
  oneofs: true,
});
const { IngestService } = grpc.loadPackageDefinition(definition).cio.sidecar.v1;
const server = new grpc.Server({ "grpc.max_receive_message_length": 16 * 1024 * 1024 });
server.addService(IngestService.service, { Send: send });
server.addService(HEALTH, { Check: (_, callback) => callback(null, {}) });
server.bindAsync(env.CIO_LISTEN, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  console.log(`serving on ${env.CIO_LISTEN}`);
});
// Calls in flight are ended first: what was received has its answer.
process.once("SIGTERM", () => server.tryShutdown(() => process.exit(0)));
