import com.google.gson.GsonBuilder;
import com.google.gson.ToNumberPolicy;
import com.google.gson.reflect.TypeToken;
import com.segment.analytics.Analytics;
import com.segment.analytics.Callback;
import com.segment.analytics.messages.AliasMessage;
import com.segment.analytics.messages.GroupMessage;
import com.segment.analytics.messages.IdentifyMessage;
import com.segment.analytics.messages.Message;
import com.segment.analytics.messages.MessageBuilder;
import com.segment.analytics.messages.PageMessage;
import com.segment.analytics.messages.ScreenMessage;
import com.segment.analytics.messages.TrackMessage;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.Date;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Sends events by Segment's SDK: JSON lines in on standard input. Ends when all are delivered.
 *
 * <pre>java -cp 'target/classes:target/lib/*' Send http://127.0.0.1:8088 WRITE_KEY</pre>
 */
public final class Send {
  public static void main(String[] args) throws Exception {
    var lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).lines().toList();
    var left = new CountDownLatch(lines.size());
    var failures = new AtomicInteger();
    var analytics =
        Analytics.builder(args[1])
            .endpoint(args[0])
            .flushQueueSize(15)
            .flushInterval(1, TimeUnit.SECONDS)
            .callback(
                new Callback() {
                  @Override
                  public void success(Message message) {
                    left.countDown();
                  }

                  @Override
                  public void failure(Message message, Throwable error) {
                    System.err.println(error);
                    failures.incrementAndGet();
                    left.countDown();
                  }
                })
            .build();
    var gson =
        new GsonBuilder().setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE).create();
    for (var line : lines) {
      Map<String, Object> event = gson.fromJson(line, new TypeToken<Map<String, Object>>() {}.getType());
      analytics.enqueue(message(event));
    }
    analytics.flush();
    boolean all = left.await(90, TimeUnit.SECONDS);
    analytics.shutdown();
    System.exit(all && failures.get() == 0 ? 0 : 1);
  }

  @SuppressWarnings("unchecked")
  private static MessageBuilder<?, ?> message(Map<String, Object> event) {
    var properties = (Map<String, Object>) event.get("properties");
    var traits = (Map<String, Object>) event.get("traits");
    var name = (String) event.get("name");
    MessageBuilder<?, ?> message =
        switch ((String) event.get("type")) {
          case "identify" -> IdentifyMessage.builder().traits(traits);
          case "track" ->
              TrackMessage.builder((String) event.get("event")).properties(properties);
          case "page" -> PageMessage.builder(name).properties(properties);
          case "screen" -> ScreenMessage.builder(name).properties(properties);
          case "group" -> GroupMessage.builder((String) event.get("groupId")).traits(traits);
          case "alias" -> AliasMessage.builder((String) event.get("previousId"));
          default -> throw new IllegalArgumentException(event.toString());
        };
    if (event.get("userId") != null) {
      message.userId((String) event.get("userId"));
    }
    if (event.get("anonymousId") != null) {
      message.anonymousId((String) event.get("anonymousId"));
    }
    if (event.get("context") != null) {
      message.context((Map<String, ?>) event.get("context"));
    }
    message.messageId((String) event.get("messageId"));
    message.timestamp(Date.from(OffsetDateTime.parse((String) event.get("timestamp")).toInstant()));
    return message;
  }
}
