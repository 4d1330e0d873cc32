// Runs containerd's own tests of a snapshotter, from Debian's golang-github-containerd-containerd-dev, against the server that
// listens on $LAYERSTORE_SOCKET. Built and started by containerd-suite.test.ts.
package suite

import (
	"context"
	"os"
	"strings"
	"testing"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
)

func TestSnapshotter(t *testing.T) {
	snapshotter := os.Getenv("LAYERSTORE_SNAPSHOTTER")
	connect := func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
		connection, err := grpc.Dial("unix://"+os.Getenv("LAYERSTORE_SOCKET"), grpc.WithInsecure())
		if err != nil {
			return nil, nil, err
		}
		client := snapshotsapi.NewSnapshotsClient(connection)
		// The suite takes its keys from a fresh root for every test: here they share one, by owners of their own.
		name := snapshotter + strings.ReplaceAll(root, "/", "-")
		return proxy.NewSnapshotter(client, name), connection.Close, nil
	}
	testsuite.SnapshotterSuite(t, snapshotter, connect)
}
