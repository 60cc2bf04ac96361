// Pings a sidecar by grpc-go's keep-alive, as often as it allows, and says how often the connection
// was lost: go run . ADDRESS idle|stream SECONDS
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
)

func main() {
	address, kind := os.Args[1], os.Args[2]
	seconds, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true,
		}))
	if err != nil {
		panic(err)
	}
	client := grpc_health_v1.NewHealthClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
	defer cancel()
	if _, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
		panic(err)
	}
	if kind == "stream" {
		if _, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
			panic(err)
		}
	}
	lost := 0
	for connection.WaitForStateChange(ctx, connectivity.Ready) {
		lost++
		connection.Connect()
		for connection.GetState() != connectivity.Ready && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	fmt.Println(lost)
}
