// When a call is made again, and what a status's details say.
import { setTimeout as sleep } from "node:timers/promises";

import { type Metadata, status, type StatusObject } from "@grpc/grpc-js";
import type { Any } from "./gen/google/protobuf/any.js";
import {
  BadRequest,
  type BadRequest_FieldViolation,
  RetryInfo,
} from "./gen/google/rpc/error_details.js";
import { Status } from "./gen/google/rpc/status.js";

/** What grpc-js tells of a call that failed: a ServiceError is one. */
export type Failure = Pick<StatusObject, "code" | "details"> & { metadata: Metadata };

/** An event, or a request, that can't be used as it is. */
export class Rejected extends Error {
  constructor(readonly violations: BadRequest_FieldViolation[]) {
    const words = violations.map((v) => `${v.field}: ${v.description} (${v.reason})`);
    super(`rejected: ${words.join("; ")}`);
    this.name = "Rejected";
  }
}

/** Calls until success, or a failure that would only come again, or until the time is up. */
export async function retry<T>(patienceMs: number, call: () => Promise<T>): Promise<T> {
  const end = Date.now() + patienceMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      const failure = error as Failure;
      const wait = pause(failure, attempt);
      if (wait === undefined || Date.now() + wait > end) throw rejection(failure);
      await sleep(wait);
    }
  }
}

/** Milliseconds to wait before a call is made again that ended so; undefined: it would not help. */
export function pause(failure: Failure, attempt: number): number | undefined {
  const backoff = 100 * 2 ** Math.min(attempt, 5);
  const wait = backoff * (0.5 + Math.random());
  switch (failure.code) {
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
    case status.CANCELLED: // By a sidecar that stops: nothing here cancels a call.
      return wait;
    case status.RESOURCE_EXHAUSTED: {
      const info = detail(failure, "google.rpc.RetryInfo");
      if (!info) return undefined;
      const { seconds = 0, nanos = 0 } = RetryInfo.decode(info.value).retryDelay ?? {};
      return Math.max(wait, seconds * 1000 + nanos / 1e6);
    }
    default:
      return undefined;
  }
}

/** A Rejected for a failure that names fields; any other as it is. */
export function rejection<T extends Failure>(failure: T): T | Rejected {
  const bad = detail(failure, "google.rpc.BadRequest");
  return bad ? new Rejected(BadRequest.decode(bad.value).fieldViolations) : failure;
}

function detail(failure: Failure, type: string): Any | undefined {
  const [bytes] = failure.metadata?.get("grpc-status-details-bin") ?? [];
  if (!Buffer.isBuffer(bytes)) return undefined;
  return Status.decode(bytes).details.find((each) => each.typeUrl.endsWith(`/${type}`));
}
