package allowlist

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/test/allowlist/year"
)

// stackConfig is the stack of the year on AWS.
var stackConfig = year.Config(`  pulumi:disable-default-providers: ["*"]
  sallyport:cloud: aws
  sallyport:preflight: "off"
  sallyport:nat: {maxIPsPerGateway: 8}
  sallyport:aws:
    region: eu-west-1
    vpc: {cidr: 10.64.0.0/16}
    fleet: {digest: "sha256:5a11f0475a11f0475a11f0475a11f0475a11f0475a11f0475a11f0475a11f047"}
    clients: {cidrs: [10.64.0.0/16]}
`)

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sallyport-year-")
	if err != nil {
		return "", err
	}
	cleanup = append(cleanup, dir)
	path := filepath.Join(dir, "sallyport")
	out, err := exec.Command("go", "build", "-o", path, "../../cmd/sallyport").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// cleanup are the folders to remove at the end.
var cleanup []string

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range cleanup {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func newYear(t *testing.T, d year.Deployment) *year.Year {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return year.New(t, d, path)
}
