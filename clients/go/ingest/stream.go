package ingest

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "example.com/caller/gen/cio/sidecar/v1"
)

// How many messages of a stream may wait for their acks.
const maxUnacked = 1000

// Stream hands events over for as long as you like. A stream that breaks is opened again, and what
// was not acked is sent again, in its order, with the same message ids.
type Stream struct {
	client   *Client
	onResult func(*pb.Event, *pb.EventResult)
	ended    chan struct{} // closed at the end; err says why

	mu       sync.Mutex
	change   *sync.Cond
	unacked  []*pb.StreamRequest
	sent     int // how many of unacked were sent by the present call
	sequence uint64
	closing  bool
	err      error
}

// Stream opens a stream, which lasts until Close, or the end of ctx. onResult is called for each
// event when it is settled, in order, from another goroutine.
func (c *Client) Stream(ctx context.Context, onResult func(*pb.Event, *pb.EventResult)) *Stream {
	s := &Stream{client: c, onResult: onResult, ended: make(chan struct{})}
	s.change = sync.NewCond(&s.mu)
	// A cond knows no contexts: who waits must be told.
	stop := context.AfterFunc(ctx, func() { s.update(func() { s.err = context.Cause(ctx) }) })
	go func() {
		defer close(s.ended)
		defer stop()
		s.run(ctx)
	}()
	return s
}

// Send puts events on the stream, as one message, and waits while too many are not acked. What
// becomes of them is told to onResult. An error says that the stream has ended.
func (s *Stream) Send(events ...*pb.Event) error {
	for _, event := range events {
		identify(event)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.unacked) >= maxUnacked && s.err == nil {
		s.change.Wait()
	}
	if s.err != nil {
		return s.err
	}
	s.sequence++
	s.unacked = append(s.unacked, &pb.StreamRequest{Sequence: s.sequence, Events: events})
	s.change.Broadcast()
	return nil
}

// Close waits until everything is acked. An error says that it was not.
func (s *Stream) Close() error {
	s.update(func() { s.closing = true })
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Stream) update(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	s.change.Broadcast()
}

func (s *Stream) run(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		before := s.firstUnacked()
		err := s.call(ctx)
		if err == nil {
			return
		}
		if s.firstUnacked() != before {
			attempt = 0
		}
		wait, again := pause(err, attempt)
		if !again || ctx.Err() != nil || s.client.closed() {
			s.update(func() { s.err = errors.Join(s.err, rejection(err)) })
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// call makes one call of Stream: nil once Close was asked for and everything is acked.
func (s *Stream) call(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.client.service.Stream(ctx)
	if err != nil {
		return err
	}
	s.update(func() { s.sent = 0 })
	go s.push(ctx, stream)
	for results := map[uint64]map[uint32]*pb.EventResult{}; ; {
		ack, err := stream.Recv()
		if err == io.EOF && s.isSettled() {
			return nil
		}
		if err == io.EOF {
			err = status.Error(codes.Unavailable, "the stream ended before the last ack")
		}
		if err != nil {
			// push may wait for events: it ends with the context.
			cancel()
			s.update(func() {})
			return err
		}
		for _, named := range ack.GetResults() {
			if results[named.GetSequence()] == nil {
				results[named.GetSequence()] = map[uint32]*pb.EventResult{}
			}
			results[named.GetSequence()][named.GetIndex()] = named.GetResult()
		}
		s.settle(ack.GetSequence(), results)
	}
}

// push sends what is not acked yet, and what comes; at the end it says that no more will come.
func (s *Stream) push(ctx context.Context, stream pb.IngestService_StreamClient) {
	for {
		s.mu.Lock()
		for s.sent == len(s.unacked) && !s.closing && ctx.Err() == nil && s.err == nil {
			s.change.Wait()
		}
		if ctx.Err() != nil || s.err != nil {
			s.mu.Unlock()
			return
		}
		if s.sent == len(s.unacked) {
			s.mu.Unlock()
			_ = stream.CloseSend()
			return
		}
		message := s.unacked[s.sent]
		s.sent++
		s.mu.Unlock()
		if stream.Send(message) != nil {
			return // Recv says why.
		}
	}
}

// settle tells of every event up to a sequence number; what no ack named was accepted.
func (s *Stream) settle(sequence uint64, results map[uint64]map[uint32]*pb.EventResult) {
	for {
		s.mu.Lock()
		if len(s.unacked) == 0 || s.unacked[0].GetSequence() > sequence {
			s.mu.Unlock()
			return
		}
		message := s.unacked[0]
		s.unacked = s.unacked[1:]
		s.sent--
		s.change.Broadcast()
		s.mu.Unlock()
		for index, event := range message.GetEvents() {
			result := results[message.GetSequence()][uint32(index)]
			if result == nil {
				result = &pb.EventResult{
					MessageId: event.GetMessageId(),
					Status:    pb.EventStatus_EVENT_STATUS_ACCEPTED,
				}
			}
			s.onResult(event, result)
		}
		delete(results, message.GetSequence())
	}
}

func (s *Stream) isSettled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing && len(s.unacked) == 0
}

func (s *Stream) firstUnacked() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unacked) == 0 {
		return s.sequence + 1
	}
	return s.unacked[0].GetSequence()
}
