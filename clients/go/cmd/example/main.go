// Every way of handing events to a sidecar; CIO_TARGET says where it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	pb "example.com/caller/gen/cio/sidecar/v1"
	"example.com/caller/ingest"
)

func main() {
	target := os.Getenv("CIO_TARGET") // host:port, or unix:PATH
	if target == "" {
		target = "127.0.0.1:50051"
	}
	client, err := ingest.Connect(target, os.Getenv("CIO_TLS_CA_FILE"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	// How long to try at all; each attempt has a deadline of its own.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, show := range []func(context.Context, *ingest.Client) error{one, batch, rejected, stream} {
		if err := show(ctx, client); err != nil {
			log.Fatal(err)
		}
	}
}

// one sends one event, its traits as a plain map.
func one(ctx context.Context, client *ingest.Client) error {
	traits, err := ingest.Map(map[string]any{"email": "user-42@example.com", "plan": "pro"})
	if err != nil {
		return err
	}
	result, err := client.Send(ctx, &pb.Event{
		UserId: "user-42",
		Call:   &pb.Event_Identify{Identify: &pb.Identify{Traits: traits}},
	})
	fmt.Println("one:", result.GetStatus())
	return err
}

type order struct {
	ID    int64   `json:"order_id"`
	Total float64 `json:"total"`
}

// batch sends many events with one call, their properties as JSON bytes.
func batch(ctx context.Context, client *ingest.Client) error {
	var events []*pb.Event
	for id := range int64(3) {
		properties, err := ingest.JSON(order{ID: 9007199254740993 + id, Total: 99.5})
		if err != nil {
			return err
		}
		events = append(events, &pb.Event{
			UserId: "user-42",
			Call:   &pb.Event_Track{Track: &pb.Track{Event: "Order Completed", Properties: properties}},
		})
	}
	results, err := client.SendBatch(ctx, events)
	for _, result := range results {
		fmt.Println("batch:", result.GetStatus())
	}
	return err
}

// rejected sends an event of nobody, and reads what is wrong with it.
func rejected(ctx context.Context, client *ingest.Client) error {
	_, err := client.Send(ctx, &pb.Event{
		Call: &pb.Event_Track{Track: &pb.Track{Event: "Order Completed"}},
	})
	var rejected *ingest.Rejected
	if !errors.As(err, &rejected) {
		return fmt.Errorf("expected a rejection, got %w", err)
	}
	for _, violation := range rejected.Violations {
		fmt.Println("rejected:", violation.GetField(), violation.GetReason())
	}
	return nil
}

// stream sends events as they come, and waits for the last ack at the end.
func stream(ctx context.Context, client *ingest.Client) error {
	acked := 0
	stream := client.Stream(ctx, func(event *pb.Event, result *pb.EventResult) {
		if result.GetStatus() == pb.EventStatus_EVENT_STATUS_REJECTED {
			log.Println(event.GetMessageId(), result.GetViolations())
			return
		}
		acked++
	})
	for number := range 100 {
		properties, err := ingest.Map(map[string]any{"number": number})
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.Event{
			UserId: "user-42",
			Call:   &pb.Event_Track{Track: &pb.Track{Event: "Step Taken", Properties: properties}},
		}); err != nil {
			return err
		}
	}
	if err := stream.Close(); err != nil {
		return err
	}
	fmt.Println("stream:", acked, "acked")
	return nil
}
