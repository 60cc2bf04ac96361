package com.example.caller;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.Durations;
import com.google.rpc.BadRequest;
import com.google.rpc.RetryInfo;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** What is tried again, and when. */
final class Retry {
  private Retry() {}

  /**
   * Calls until success, or a failure that would only come again, or the deadline.
   *
   * @throws Rejected where the failure names fields
   * @throws StatusRuntimeException for any other, the last one at the deadline
   */
  static <T> T until(Deadline deadline, Supplier<T> call) throws InterruptedException {
    for (int attempt = 0; ; attempt++) {
      try {
        return call.get();
      } catch (StatusRuntimeException failure) {
        Optional<Duration> pause = pause(failure, attempt);
        if (pause.isEmpty()
            || deadline.timeRemaining(TimeUnit.MILLISECONDS) <= pause.get().toMillis()) {
          throw rejection(failure);
        }
        Thread.sleep(pause.get().toMillis());
      }
    }
  }

  /** How long to wait before a call that failed so is made again; empty if it must not be. */
  static Optional<Duration> pause(StatusRuntimeException failure, int attempt) {
    long backoff = 100L << Math.min(attempt, 5);
    Duration pause =
        Duration.ofMillis(backoff / 2 + ThreadLocalRandom.current().nextLong(backoff));
    return switch (failure.getStatus().getCode()) {
      case UNAVAILABLE, DEADLINE_EXCEEDED -> Optional.of(pause);
      // By a sidecar that stops, unless the call that this thread answers was cancelled.
      case CANCELLED -> Context.current().isCancelled() ? Optional.empty() : Optional.of(pause);
      // Without a RetryInfo the message is too large.
      case RESOURCE_EXHAUSTED -> detail(failure, RetryInfo.class)
          .map(info -> Duration.ofMillis(Durations.toMillis(info.getRetryDelay())))
          .map(delay -> delay.compareTo(pause) > 0 ? delay : pause);
      default -> Optional.empty();
    };
  }

  /** A {@link Rejected} of a failure that names fields, and any other as it is. */
  static RuntimeException rejection(StatusRuntimeException failure) {
    return detail(failure, BadRequest.class)
        .<RuntimeException>map(bad -> new Rejected(bad.getFieldViolationsList()))
        .orElse(failure);
  }

  private static <T extends Message> Optional<T> detail(
      StatusRuntimeException failure, Class<T> type) {
    for (Any detail : StatusProto.fromThrowable(failure).getDetailsList()) {
      if (detail.is(type)) {
        try {
          return Optional.of(detail.unpack(type));
        } catch (InvalidProtocolBufferException broken) {
          return Optional.empty();
        }
      }
    }
    return Optional.empty();
  }
}
