// Serves containerd's own overlayfs snapshotter on a socket: overlay-server SOCKET ROOT. The peer of bench/snapshotter.mjs.
package main

import (
	"net"
	"os"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/contrib/snapshotservice"
	"github.com/containerd/containerd/snapshots/overlay"
	"google.golang.org/grpc"
)

func main() {
	snapshotter, err := overlay.NewSnapshotter(os.Args[2], overlay.AsynchronousRemove)
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	if err := server.Serve(listener); err != nil {
		panic(err)
	}
}
