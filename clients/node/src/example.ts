// Every way of handing events to a sidecar; CIO_TARGET says where it is.
import { Client, json } from "./client.js";
import { EventStatus } from "./gen/cio/sidecar/v1/ingest.js";
import { Rejected } from "./retry.js";

const client = new Client(
  process.env.CIO_TARGET || "127.0.0.1:50051", // host:port, or unix:PATH
  process.env.CIO_TLS_CA_FILE || undefined,
);

// One event, its traits as a plain object.
const result = await client.send({
  userId: "user-42",
  identify: { traits: { struct: { email: "user-42@example.com", plan: "pro" } } },
});
console.log("one:", EventStatus[result.status]);

// Many events with one call, their properties as JSON bytes. A bigint is written by hand: JSON has
// 64-bit integers, JSON.stringify does not.
const results = await client.sendBatch([
  { userId: "user-42", track: { event: "Order Completed", properties: json({ total: 99.5 }) } },
  {
    userId: "user-42",
    track: {
      event: "Order Completed",
      properties: { json: Buffer.from(`{"order_id":${9007199254740993n}}`) },
    },
  },
]);
for (const { status } of results) console.log("batch:", EventStatus[status]);

// An event of nobody, and what is wrong with it.
try {
  await client.send({ track: { event: "Order Completed" } });
} catch (error) {
  if (!(error instanceof Rejected)) throw error;
  for (const { field, reason } of error.violations) console.log("rejected:", field, reason);
}

// Events as they come; close waits for the last ack.
let acked = 0;
const stream = client.stream((event, { status, violations }) => {
  if (status === EventStatus.EVENT_STATUS_REJECTED) console.error(event.messageId, violations);
  else acked++;
});
for (let number = 0; number < 100; number++) {
  await stream.send({
    userId: "user-42",
    track: { event: "Step Taken", properties: { struct: { number } } },
  });
}
await stream.close();
console.log("stream:", acked, "acked");
client.close();
