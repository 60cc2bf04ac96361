// Sends one event to the sidecar and prints its receipt.
// Usage: node first-call.mjs [host:port | unix:PATH]
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const protos = fileURLToPath(new URL("../../protos", import.meta.url));
const definition = protoLoader.loadSync("cio/sidecar/v1/ingest.proto", {
  includeDirs: [protos],
  enums: String,
});
const { IngestService } = grpc.loadPackageDefinition(definition).cio.sidecar.v1;

const client = new IngestService(
  process.argv[2] ?? "127.0.0.1:50051",
  grpc.credentials.createInsecure(),
);

const event = {
  userId: "user-42",
  track: {
    event: "Order Completed",
    properties: { json: Buffer.from(JSON.stringify({ total: 99.5, currency: "EUR" })) },
  },
};

client.Send({ event }, { deadline: Date.now() + 5000 }, (error, response) => {
  if (error) {
    console.error(`${grpc.status[error.code]}: ${error.details}`);
    process.exitCode = 1;
  } else {
    console.log(response.result.status, response.result.messageId);
  }
  client.close();
});
