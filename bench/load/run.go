package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
)

const service = "/cio.sidecar.v1.IngestService/"

// result is what a run prints.
type result struct {
	Messages   int64              `json:"messages"`
	Events     int64              `json:"events"`
	Bytes      int64              `json:"bytes"`
	StartedAt  float64            `json:"started_at"` // Unix seconds
	Seconds    float64            `json:"seconds"`    // from the first message to the last ack
	CPUSeconds float64            `json:"cpu_seconds"`
	LatencyMS  map[string]float64 `json:"latency_ms"`
}

type load struct {
	connections []*grpc.ClientConn // messages go by each in turn; a stream, by the first
	events      *events
	method      string
	most        int64         // messages to send; 0: any number
	until       time.Duration // how long to send; 0: as long as it takes
	inFlight    int           // messages at a time
	every       time.Duration // between two messages; 0: whenever one fewer is in flight
	pause       time.Duration // before each message

	started time.Time
	sent    int64
	bytes   int64

	mutex     sync.Mutex
	latencies []time.Duration
}

// run sends events, and prints a result.
func run(arguments []string) error {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	target := flags.String("target", "", "host:port or unix:PATH of the server")
	path := flags.String("events", "", "file of serialised events")
	method := flags.String("method", "Send", "Send, SendBatch or Stream")
	most := flags.Int64("messages", 0, "how many messages to send at most; 0: any number")
	until := flags.Duration("for", 0, "how long to send; 0: until all messages are sent")
	batch := flags.Int("batch", 1, "events a message")
	people := flags.Int64("people", 10000, "how many people the events are of")
	connections := flags.Int("connections", 1, "over how many connections messages go")
	inFlight := flags.Int("in-flight", 64, "messages in flight at a time")
	pause := flags.Duration("pause", 0, "how long to rest before each message")
	rate := flags.Float64("rate", 0, "messages a second, whether or not earlier ones are acked")
	flags.Parse(arguments)
	events, err := readEvents(*path, *people, *batch)
	if err != nil {
		return err
	}
	l := &load{
		events: events, method: *method,
		most: *most, until: *until, inFlight: *inFlight, pause: *pause,
	}
	for range *connections {
		connection, err := connect(*target)
		if err != nil {
			return err
		}
		defer connection.Close()
		l.connections = append(l.connections, connection)
	}
	if *rate > 0 {
		l.every = time.Duration(float64(time.Second) / *rate)
	}
	play := l.unary
	if *method == "Stream" {
		play = l.stream
	}
	cpu := cpuSeconds()
	l.started = time.Now()
	if err := play(); err != nil {
		return err
	}
	return printJSON(result{
		Messages: l.sent, Events: l.sent * int64(*batch), Bytes: l.bytes,
		StartedAt: unixSeconds(l.started), Seconds: time.Since(l.started).Seconds(),
		CPUSeconds: cpuSeconds() - cpu, LatencyMS: percentiles(l.latencies),
	})
}

// connect makes a connection, before the clock runs.
func connect(target string) (*grpc.ClientConn, error) {
	connection, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	if err != nil {
		return nil, err
	}
	ready, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	connection.Connect()
	for state := connection.GetState(); state != connectivity.Ready; state = connection.GetState() {
		if !connection.WaitForStateChange(ready, state) {
			connection.Close()
			return nil, fmt.Errorf("no connection to %s", target)
		}
	}
	return connection, nil
}

// turn waits for the turn of the next message, and says when that is: a server that is late makes
// the messages behind it late too, which must show. False: there is no next message.
func (l *load) turn() (time.Time, bool) {
	time.Sleep(l.pause)
	now := time.Now()
	due := now
	if l.every > 0 {
		due = l.started.Add(time.Duration(l.sent) * l.every)
	}
	if (l.most > 0 && l.sent == l.most) || (l.until > 0 && due.Sub(l.started) >= l.until) {
		return due, false
	}
	time.Sleep(due.Sub(now))
	return due, true
}

// acked notes that a message that was due then is acknowledged.
func (l *load) acked(due time.Time) {
	taken := time.Since(due)
	l.mutex.Lock()
	l.latencies = append(l.latencies, taken)
	l.mutex.Unlock()
}

// unary sends by Send or SendBatch.
func (l *load) unary() error {
	var wait sync.WaitGroup
	failed := make(chan error, 1)
	slots := make(chan struct{}, l.inFlight)
	for len(failed) == 0 {
		if l.every == 0 {
			slots <- struct{}{}
		}
		due, more := l.turn()
		if !more {
			break
		}
		message := l.events.next(nil, 1)
		connection := l.connections[l.sent%int64(len(l.connections))]
		l.sent++
		l.bytes += int64(len(message))
		wait.Add(1)
		go func() {
			defer wait.Done()
			var answer []byte
			err := connection.Invoke(context.Background(), service+l.method, message, &answer)
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
			l.acked(due)
			if l.every == 0 {
				<-slots
			}
		}()
	}
	wait.Wait()
	close(failed)
	return <-failed
}

// stream sends by one Stream.
func (l *load) stream() error {
	description := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	context, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := l.connections[0].NewStream(context, description, service+l.method)
	if err != nil {
		return err
	}
	// What was sent and is not acked, in order.
	unacked := make(chan time.Time, l.inFlight)
	ended := make(chan error, 1)
	go func() { ended <- l.acks(stream, unacked) }()
	for {
		due, more := l.turn()
		if !more {
			break
		}
		select {
		case unacked <- due:
		case err := <-ended:
			return err
		}
		l.sent++
		head := binary.AppendUvarint([]byte{1 << 3}, uint64(l.sent))
		message := l.events.next(head, 2)
		l.bytes += int64(len(message))
		if err := stream.SendMsg(message); err != nil {
			return errors.Join(err, <-ended)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return <-ended
}

// acks reads acks until the stream ends. One may settle many messages.
func (l *load) acks(stream grpc.ClientStream, unacked chan time.Time) error {
	settled := uint64(0)
	for {
		var ack []byte
		err := stream.RecvMsg(&ack)
		if err == io.EOF && len(unacked) > 0 {
			return fmt.Errorf("the stream ended with %d messages not acked", len(unacked))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if len(ack) < 2 || ack[0] != 1<<3 {
			return fmt.Errorf("an ack without a sequence number: %x", ack)
		}
		sequence, _ := binary.Uvarint(ack[1:])
		for ; settled < sequence; settled++ {
			l.acked(<-unacked)
		}
	}
}

func percentiles(latencies []time.Duration) map[string]float64 {
	found := map[string]float64{}
	if len(latencies) == 0 {
		return found
	}
	slices.Sort(latencies)
	for name, share := range map[string]float64{"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1} {
		at := min(int(share*float64(len(latencies))), len(latencies)-1)
		found[name] = float64(latencies[at].Nanoseconds()) / 1e6
	}
	return found
}
