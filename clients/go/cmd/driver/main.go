// The driver through which the conformance suite sends its events; see docs/callers/driver.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "example.com/caller/gen/cio/sidecar/v1"
	"example.com/caller/ingest"
)

const (
	atOnce   = 64
	batch    = 500
	patience = 60 * time.Second
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

func run() error {
	target := os.Getenv("CIO_TARGET")
	if target == "" {
		target = "127.0.0.1:50051"
	}
	client, err := ingest.Connect(target, os.Getenv("CIO_TLS_CA_FILE"))
	if err != nil {
		return err
	}
	defer client.Close()
	events := make(chan *pb.Event, batch)
	failed := make(chan error, 1)
	go func() {
		defer close(events)
		failed <- read(os.Stdin, events)
	}()
	switch call := os.Getenv("CIO_CALL"); call {
	case "", "send":
		err = sendEach(client, events)
	case "batch":
		err = sendBatches(client, events)
	case "stream":
		err = stream(client, events)
	default:
		err = fmt.Errorf("CIO_CALL: expected send, batch or stream, got %q", call)
	}
	if err != nil {
		return err
	}
	return <-failed
}

// sendEach sends each event by a call of its own, several at a time, and tells in order.
func sendEach(client *ingest.Client, events <-chan *pb.Event) error {
	receipts := make(chan chan receipt, atOnce)
	go func() {
		defer close(receipts)
		for event := range events {
			one := make(chan receipt, 1)
			receipts <- one
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				result, err := client.Send(ctx, event)
				one <- receiptOf(event, result, err)
			}()
		}
	}()
	for one := range receipts {
		if err := write(<-one); err != nil {
			return err
		}
	}
	return nil
}

// sendBatches sends whatever is at hand with one call.
func sendBatches(client *ingest.Client, events <-chan *pb.Event) error {
	for event := range events {
		many := []*pb.Event{event}
		for len(many) < batch && len(events) > 0 {
			many = append(many, <-events)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		results, err := client.SendBatch(ctx, many)
		cancel()
		for index, event := range many {
			var result *pb.EventResult
			if err == nil {
				result = results[index]
			}
			if err := write(receiptOf(event, result, err)); err != nil {
				return err
			}
		}
	}
	return nil
}

func stream(client *ingest.Client, events <-chan *pb.Event) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stream := client.Stream(ctx, func(event *pb.Event, result *pb.EventResult) {
		if err := write(receiptOf(event, result, nil)); err != nil {
			cancel(err)
		}
	})
	for event := range events {
		if err := stream.Send(event); err != nil {
			return err
		}
	}
	return stream.Close()
}

type line struct {
	Type              string
	MessageID         string `json:"messageId"`
	Timestamp         string
	OriginalTimestamp string
	UserID            string `json:"userId"`
	AnonymousID       string `json:"anonymousId"`
	Event             string
	Name              string
	Category          string
	GroupID           string `json:"groupId"`
	PreviousID        string `json:"previousId"`
	Context           object
	Properties        object
	Traits            object
}

// object is sent as JSON where the line holds it as text, else as a Struct.
type object struct{ *pb.Object }

func (o *object) UnmarshalJSON(data []byte) error {
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	switch value := value.(type) {
	case string:
		o.Object = &pb.Object{Value: &pb.Object_Json{Json: []byte(value)}}
		return nil
	case map[string]any:
		var err error
		o.Object, err = ingest.Map(value)
		return err
	}
	return fmt.Errorf("expected an object or its JSON as text, got %s", data)
}

func read(input io.Reader, events chan<- *pb.Event) error {
	reader := bufio.NewReaderSize(input, 1<<16)
	for {
		data, err := reader.ReadBytes('\n')
		if err == io.EOF && len(data) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		var line line
		if err := json.Unmarshal(data, &line); err != nil {
			return fmt.Errorf("a line that is no event: %w", err)
		}
		event, err := line.event()
		if err != nil {
			return err
		}
		events <- event
	}
}

func (l *line) event() (*pb.Event, error) {
	event := &pb.Event{
		MessageId:         l.MessageID,
		Timestamp:         l.Timestamp,
		OriginalTimestamp: l.OriginalTimestamp,
		UserId:            l.UserID,
		AnonymousId:       l.AnonymousID,
		Context:           l.Context.Object,
	}
	traits, properties := l.Traits.Object, l.Properties.Object
	switch l.Type {
	case "":
	case "identify":
		event.Call = &pb.Event_Identify{Identify: &pb.Identify{Traits: traits, GroupId: l.GroupID}}
	case "track":
		event.Call = &pb.Event_Track{Track: &pb.Track{Event: l.Event, Properties: properties}}
	case "page":
		event.Call = &pb.Event_Page{
			Page: &pb.Page{Name: l.Name, Category: l.Category, Properties: properties},
		}
	case "screen":
		event.Call = &pb.Event_Screen{
			Screen: &pb.Screen{Name: l.Name, Category: l.Category, Properties: properties},
		}
	case "group":
		event.Call = &pb.Event_Group{Group: &pb.Group{GroupId: l.GroupID, Traits: traits}}
	case "alias":
		event.Call = &pb.Event_Alias{Alias: &pb.Alias{PreviousId: l.PreviousID}}
	default:
		return nil, fmt.Errorf("unknown type %q", l.Type)
	}
	return event, nil
}

type receipt struct {
	MessageID  string      `json:"message_id"`
	Status     string      `json:"status"`
	Violations []violation `json:"violations,omitempty"`
	Warnings   []warning   `json:"warnings,omitempty"`
	Code       string      `json:"code,omitempty"`
	Message    string      `json:"message,omitempty"`
}

type violation struct {
	Field       string `json:"field"`
	Reason      string `json:"reason"`
	Description string `json:"description"`
}

type warning struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

func receiptOf(event *pb.Event, result *pb.EventResult, err error) receipt {
	r := receipt{MessageID: event.GetMessageId()}
	if rejected := (*ingest.Rejected)(nil); errors.As(err, &rejected) {
		r.Status = "rejected"
		for _, v := range rejected.Violations {
			r.Violations = append(r.Violations, violation{v.Field, v.Reason, v.Description})
		}
		return r
	}
	if err != nil {
		failure := status.Convert(err)
		r.Status, r.Code, r.Message = "failed", codeName(failure.Code()), failure.Message()
		return r
	}
	if result.GetMessageId() != "" {
		r.MessageID = result.GetMessageId()
	}
	r.Status = strings.ToLower(strings.TrimPrefix(result.GetStatus().String(), "EVENT_STATUS_"))
	for _, v := range result.GetViolations() {
		r.Violations = append(r.Violations, violation{v.Field, v.Reason, v.Description})
	}
	for _, w := range result.GetWarnings() {
		r.Warnings = append(r.Warnings, warning{w.Field, w.Description})
	}
	return r
}

// codeName is the name of a code as gRPC's specification writes it: RESOURCE_EXHAUSTED.
func codeName(code codes.Code) string {
	var name strings.Builder
	for index, letter := range code.String() {
		if index > 0 && letter >= 'A' && letter <= 'Z' && code != codes.OK {
			name.WriteByte('_')
		}
		name.WriteRune(letter)
	}
	return strings.ToUpper(name.String())
}

func write(r receipt) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(data, '\n'))
	return err
}
