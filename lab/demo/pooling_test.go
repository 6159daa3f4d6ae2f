package demo

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestPoolingSharesConnections runs the measurement of the demo. Its figures depend on the machine; what must hold does not.
func TestPoolingSharesConnections(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	build, err := filepath.Abs("../../.build")
	if err != nil {
		t.Fatal(err)
	}
	labd, rootfs := filepath.Join(build, "bin", "labd"), filepath.Join(build, "image", "rootfs")
	for _, path := range []string{labd, filepath.Join(rootfs, "sallyport-agent")} {
		if _, err := os.Stat(path); err != nil {
			t.Skip("not built: run make build image-local")
		}
	}
	result, err := MeasurePooling(context.Background(), labd, rootfs)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", *result)
	if result.Fresh.Failed+result.Pooled.Failed > 0 {
		t.Errorf("%d and %d requests failed", result.Fresh.Failed, result.Pooled.Failed)
	}
	if result.Fresh.Connections < result.Fresh.Requests*9/10 || result.Pooled.Connections*100 > result.Pooled.Requests+100 {
		t.Errorf("connections: %d for %d fresh requests, %d for %d pooled", result.Fresh.Connections, result.Fresh.Requests,
			result.Pooled.Connections, result.Pooled.Requests)
	}
	// Three round trips (TCP, TLS, request) against one: the rest is processor time.
	if result.Fresh.P50Millis < 15 || result.Pooled.P50Millis < 5 || result.LatencyRatio > 0.7 {
		t.Errorf("latency: %.1f ms fresh, %.1f ms pooled, ratio of means %.2f", result.Fresh.P50Millis, result.Pooled.P50Millis, result.LatencyRatio)
	}
}
