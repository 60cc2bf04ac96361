package com.example.caller;

import cio.sidecar.v1.Event;
import cio.sidecar.v1.EventResult;
import cio.sidecar.v1.IngestServiceGrpc;
import cio.sidecar.v1.SendBatchRequest;
import cio.sidecar.v1.SendRequest;
import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.ChannelCredentials;
import io.grpc.ConnectivityState;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;

/** A connection to a sidecar, for any number of threads. Make one, and keep it. */
final class Client implements AutoCloseable {
  // What gRPC itself does for each call. RESOURCE_EXHAUSTED is not among the codes: it may mean that
  // the message is too large, and only the status's details tell; see Retry.
  private static final String SERVICE_CONFIG =
      """
      {
        "methodConfig": [
          {
            "name": [
              {"service": "cio.sidecar.v1.IngestService", "method": "Send"},
              {"service": "cio.sidecar.v1.IngestService", "method": "SendBatch"}
            ],
            "waitForReady": true,
            "timeout": "10s",
            "retryPolicy": {
              "maxAttempts": 4,
              "initialBackoff": "0.1s",
              "maxBackoff": "2s",
              "backoffMultiplier": 2,
              "retryableStatusCodes": ["UNAVAILABLE"]
            }
          },
          {
            "name": [{"service": "cio.sidecar.v1.IngestService", "method": "Stream"}],
            "waitForReady": true
          }
        ]
      }
      """;

  private final ManagedChannel channel;
  private final ScheduledExecutorService reconnecting =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "cio-reconnect");
            thread.setDaemon(true);
            return thread;
          });

  private Client(ManagedChannel channel) {
    this.channel = channel;
    // A sidecar that restarts is back within a second: don't wait two minutes for it.
    reconnecting.scheduleWithFixedDelay(this::reconnect, 1, 1, TimeUnit.SECONDS);
  }

  /**
   * A client of the sidecar at {@code host:port} or {@code unix:PATH}. It connects with the first
   * call.
   *
   * @param caFile a PEM file of the certificates to trust; null or empty to speak plain text
   */
  static Client connect(String target, String caFile) throws IOException {
    ChannelCredentials credentials = InsecureChannelCredentials.create();
    if (caFile != null && !caFile.isEmpty()) {
      credentials = TlsChannelCredentials.newBuilder().trustManager(Path.of(caFile).toFile()).build();
    }
    ManagedChannelBuilder<?> builder;
    if (target.startsWith("unix:")) {
      String path = Path.of(target.substring("unix:".length())).toAbsolutePath().toString();
      builder = Grpc.newChannelBuilder("unix:" + path, credentials);
      builder.overrideAuthority("localhost");
      // An option of TCP alone, of which Netty warns otherwise, at every connection.
      ((NettyChannelBuilder) builder).withOption(ChannelOption.SO_KEEPALIVE, null);
    } else {
      builder = Grpc.newChannelBuilder(target, credentials);
      builder.keepAliveTime(1, TimeUnit.MINUTES);
    }
    Map<String, ?> serviceConfig =
        new Gson().fromJson(SERVICE_CONFIG, new TypeToken<Map<String, ?>>() {}.getType());
    // A proxy of the machine has no business with a sidecar.
    builder.defaultServiceConfig(serviceConfig).proxyDetector(address -> null);
    return new Client(builder.build());
  }

  /**
   * Hands one event over, and returns when it is on the sidecar's disk.
   *
   * @param patience how long to try at all; each attempt has a deadline of its own
   * @throws Rejected where the event can't be used as it is
   */
  EventResult send(Event event, Duration patience) throws InterruptedException {
    SendRequest request = SendRequest.newBuilder().setEvent(Events.withId(event)).build();
    Deadline deadline = Deadline.after(patience.toMillis(), TimeUnit.MILLISECONDS);
    IngestServiceGrpc.IngestServiceBlockingStub service =
        IngestServiceGrpc.newBlockingStub(channel).withDeadline(deadline);
    return Retry.until(deadline, () -> service.send(request).getResult());
  }

  /**
   * Hands many events over, at most 16 MiB together, and returns a result for each, in order. Bad
   * events are rejected by their results; the others are accepted.
   */
  List<EventResult> sendBatch(List<Event> events, Duration patience) throws InterruptedException {
    SendBatchRequest request =
        SendBatchRequest.newBuilder()
            .addAllEvents(events.stream().map(Events::withId).toList())
            .build();
    Deadline deadline = Deadline.after(patience.toMillis(), TimeUnit.MILLISECONDS);
    IngestServiceGrpc.IngestServiceBlockingStub service =
        IngestServiceGrpc.newBlockingStub(channel).withDeadline(deadline);
    return Retry.until(deadline, () -> service.sendBatch(request).getResultsList());
  }

  /**
   * Opens a stream.
   *
   * @param patience how long its {@code close} waits for the last ack
   * @param onResult called for each event when it is settled, in order, by another thread; it must
   *     not send on the stream
   */
  EventStream stream(Duration patience, BiConsumer<Event, EventResult> onResult) {
    return new EventStream(IngestServiceGrpc.newStub(channel), patience, onResult);
  }

  /** Closes the connection, after the calls in flight. Close streams first. */
  @Override
  public void close() throws InterruptedException {
    reconnecting.shutdown();
    channel.shutdown();
    if (!channel.awaitTermination(10, TimeUnit.SECONDS)) {
      channel.shutdownNow();
    }
  }

  private void reconnect() {
    if (channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
      channel.resetConnectBackoff();
    }
  }
}
