package com.example.caller;

import cio.sidecar.v1.Alias;
import cio.sidecar.v1.Event;
import cio.sidecar.v1.EventResult;
import cio.sidecar.v1.Group;
import cio.sidecar.v1.Identify;
import cio.sidecar.v1.Page;
import cio.sidecar.v1.Screen;
import cio.sidecar.v1.Track;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.Strictness;
import com.google.gson.annotations.SerializedName;
import com.google.gson.reflect.TypeToken;
import io.grpc.StatusRuntimeException;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.function.Consumer;

/**
 * The driver through which the conformance suite sends its events; see docs/callers/driver.md.
 */
final class Driver {
  private static final int AT_ONCE = 64;
  private static final int BATCH = 500;
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final Gson GSON =
      new GsonBuilder().setStrictness(Strictness.STRICT).disableHtmlEscaping().create();
  private static final OutputStream OUTPUT = new FileOutputStream(FileDescriptor.out);

  /** Events as they are read; empty at the end. */
  private final BlockingQueue<Optional<Event>> events = new ArrayBlockingQueue<>(BATCH);

  private final Client client;
  private volatile Exception unreadable;

  private Driver(Client client) {
    this.client = client;
  }

  public static void main(String[] args) {
    String target = System.getenv().getOrDefault("CIO_TARGET", "127.0.0.1:50051");
    String call = System.getenv().getOrDefault("CIO_CALL", "send");
    try (Client client = Client.connect(target, System.getenv("CIO_TLS_CA_FILE"))) {
      new Driver(client).run(call);
    } catch (Exception failure) {
      fail(failure);
    }
    System.exit(0);
  }

  private void run(String call) throws Exception {
    Thread reader = new Thread(this::read, "reader");
    reader.setDaemon(true);
    reader.start();
    switch (call) {
      case "send", "" -> sendEach();
      case "batch" -> sendBatches();
      case "stream" -> stream();
      default ->
          throw new IllegalArgumentException(
              "CIO_CALL: expected send, batch or stream, got " + call);
    }
    if (unreadable != null) {
      throw unreadable;
    }
  }

  /** Each event by a call of its own, several at a time; receipts in order. */
  private void sendEach() throws InterruptedException {
    ExecutorService calls = Executors.newFixedThreadPool(AT_ONCE);
    Semaphore room = new Semaphore(AT_ONCE);
    CompletableFuture<Void> written = CompletableFuture.completedFuture(null);
    for (Event event = next(); event != null; event = next()) {
      room.acquire();
      Event each = event;
      CompletableFuture<Receipt> receipt =
          CompletableFuture.supplyAsync(
              () -> settle(each, () -> client.send(each, PATIENCE)), calls);
      written =
          written.thenCombine(
              receipt,
              (before, ready) -> {
                write(ready);
                room.release();
                return null;
              });
    }
    written.join();
    calls.shutdown();
  }

  /** Whatever is at hand with one call. */
  private void sendBatches() throws InterruptedException {
    for (Event event = next(); event != null; event = next()) {
      List<Event> batch = new ArrayList<>(List.of(event));
      while (batch.size() < BATCH && !events.isEmpty() && events.peek().isPresent()) {
        batch.add(next());
      }
      List<EventResult> results = null;
      RuntimeException failure = null;
      try {
        results = client.sendBatch(batch, PATIENCE);
      } catch (Rejected | StatusRuntimeException failed) {
        failure = failed;
      }
      for (int index = 0; index < batch.size(); index++) {
        write(
            failure == null
                ? Receipt.of(batch.get(index), results.get(index))
                : Receipt.of(batch.get(index), failure));
      }
    }
  }

  private void stream() throws InterruptedException {
    try (EventStream stream =
        client.stream(PATIENCE, (event, result) -> write(Receipt.of(event, result)))) {
      for (Event event = next(); event != null; event = next()) {
        stream.send(event);
      }
    }
  }

  private interface Call {
    EventResult make() throws InterruptedException;
  }

  private static Receipt settle(Event event, Call call) {
    try {
      return Receipt.of(event, call.make());
    } catch (Rejected | StatusRuntimeException failure) {
      return Receipt.of(event, failure);
    } catch (InterruptedException unexpected) {
      throw new IllegalStateException(unexpected);
    }
  }

  /** The next event, or null at the end. */
  private Event next() throws InterruptedException {
    return events.take().orElse(null);
  }

  private void read() {
    try {
      try (InputStream input = new BufferedInputStream(System.in)) {
        for (String line = readLine(input); line != null; line = readLine(input)) {
          events.put(Optional.of(Events.withId(parse(line))));
        }
      } catch (IOException | RuntimeException failure) {
        unreadable = failure;
      }
      events.put(Optional.empty());
    } catch (InterruptedException unexpected) {
      fail(unexpected);
    }
  }

  private static String readLine(InputStream input) throws IOException {
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    int next = input.read();
    if (next == -1) {
      return null;
    }
    for (; next != '\n' && next != -1; next = input.read()) {
      line.write(next);
    }
    return line.toString(StandardCharsets.UTF_8);
  }

  private static Event parse(String line) {
    JsonObject fields;
    try {
      fields = GSON.fromJson(line, JsonObject.class);
    } catch (JsonParseException broken) {
      throw new IllegalArgumentException("a line that is no event: " + broken.getMessage());
    }
    if (fields == null) {
      throw new IllegalArgumentException("a line that is no event: it is empty");
    }
    Event.Builder event = Event.newBuilder();
    text(fields, "messageId", event::setMessageId);
    text(fields, "timestamp", event::setTimestamp);
    text(fields, "originalTimestamp", event::setOriginalTimestamp);
    text(fields, "userId", event::setUserId);
    text(fields, "anonymousId", event::setAnonymousId);
    object(fields, "context", event::setContext);
    String type = fields.has("type") ? fields.get("type").getAsString() : "";
    switch (type) {
      case "" -> {}
      case "identify" -> {
        Identify.Builder call = event.getIdentifyBuilder();
        text(fields, "groupId", call::setGroupId);
        object(fields, "traits", call::setTraits);
      }
      case "track" -> {
        Track.Builder call = event.getTrackBuilder();
        text(fields, "event", call::setEvent);
        object(fields, "properties", call::setProperties);
      }
      case "page" -> {
        Page.Builder call = event.getPageBuilder();
        text(fields, "name", call::setName);
        text(fields, "category", call::setCategory);
        object(fields, "properties", call::setProperties);
      }
      case "screen" -> {
        Screen.Builder call = event.getScreenBuilder();
        text(fields, "name", call::setName);
        text(fields, "category", call::setCategory);
        object(fields, "properties", call::setProperties);
      }
      case "group" -> {
        Group.Builder call = event.getGroupBuilder();
        text(fields, "groupId", call::setGroupId);
        object(fields, "traits", call::setTraits);
      }
      case "alias" -> {
        Alias.Builder call = event.getAliasBuilder();
        text(fields, "previousId", call::setPreviousId);
      }
      default -> throw new IllegalArgumentException("unknown type " + type);
    }
    return event.build();
  }

  private static void text(JsonObject fields, String key, Consumer<String> set) {
    if (fields.has(key)) {
      set.accept(fields.get(key).getAsString());
    }
  }

  /** Text goes as the JSON that it is, an object as a Struct. */
  private static void object(
      JsonObject fields, String key, Consumer<cio.sidecar.v1.Object> set) {
    JsonElement value = fields.get(key);
    if (value == null) {
      return;
    }
    set.accept(
        value.isJsonPrimitive()
            ? Events.jsonText(value.getAsString())
            : Events.map(GSON.fromJson(value, new TypeToken<Map<String, ?>>() {})));
  }

  /** A receipt; what is null is left out. */
  private record Receipt(
      @SerializedName("message_id") String messageId,
      String status,
      List<Violation> violations,
      List<Warning> warnings,
      String code,
      String message) {

    static Receipt of(Event event, EventResult result) {
      return new Receipt(
          result.getMessageId().isEmpty() ? event.getMessageId() : result.getMessageId(),
          result.getStatus().name().replace("EVENT_STATUS_", "").toLowerCase(Locale.ROOT),
          result.getViolationsList().stream()
              .map(each -> new Violation(each.getField(), each.getReason(), each.getDescription()))
              .toList(),
          result.getWarningsList().stream()
              .map(each -> new Warning(each.getField(), each.getDescription()))
              .toList(),
          null,
          null);
    }

    static Receipt of(Event event, RuntimeException failure) {
      if (failure instanceof Rejected rejected) {
        List<Violation> violations =
            rejected.violations().stream()
                .map(
                    each ->
                        new Violation(each.getField(), each.getReason(), each.getDescription()))
                .toList();
        return new Receipt(event.getMessageId(), "rejected", violations, null, null, null);
      }
      var status = ((StatusRuntimeException) failure).getStatus();
      return new Receipt(
          event.getMessageId(),
          "failed",
          null,
          null,
          status.getCode().name(),
          status.getDescription());
    }
  }

  private record Violation(String field, String reason, String description) {}

  private record Warning(String field, String description) {}

  private static void write(Receipt receipt) {
    try {
      OUTPUT.write((GSON.toJson(receipt) + "\n").getBytes(StandardCharsets.UTF_8));
    } catch (IOException broken) {
      fail(broken);
    }
  }

  private static void fail(Exception failure) {
    System.err.println("driver: " + failure);
    System.exit(1);
  }
}
