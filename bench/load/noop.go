package main

import (
	"encoding/binary"
	"io"
	"net"
	"strings"

	"google.golang.org/grpc"
)

// noop serves every method, and answers with next to nothing.
func noop([]string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := printJSON(map[string]string{"address": listener.Addr().String()}); err != nil {
		return err
	}
	return grpc.NewServer(
		grpc.ForceServerCodecV2(raw{}),
		grpc.MaxRecvMsgSize(16<<20),
		grpc.UnknownServiceHandler(answer),
	).Serve(listener)
}

func answer(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	isStream := strings.HasSuffix(method, "/Stream")
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		ack := []byte{}
		if isStream {
			sequence, _ := binary.Uvarint(message[1:])
			ack = binary.AppendUvarint([]byte{1 << 3}, sequence)
		}
		if err := stream.SendMsg(ack); err != nil {
			return err
		}
		if !isStream {
			return nil
		}
	}
}
