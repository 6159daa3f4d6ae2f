package clouds

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/test/standin/aws"
	"github.com/sallyport/sallyport/test/standin/rig"
	"github.com/sallyport/sallyport/test/standin/world"
)

// shared is the rig of this run; its folder goes with the process.
var shared *rig.Rig

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, unlock, err := ownFolder()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer unlock()
	defer func() { _ = os.RemoveAll(dir) }()
	if _, err := os.Stat(filepath.Join("..", "..", ".build", "bin", "pulumi")); err != nil {
		fmt.Fprintln(os.Stderr, "no Pulumi command line in .build/bin; run `make tools` first")
		return 1
	}
	if shared, err = rig.New(filepath.Join("..", ".."), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// A run lives for seconds and nothing here reads the copy that Pulumi keeps of each state: less CPU time for all of them.
	shared.Env = []string{"GOGC=400", "PULUMI_DISABLE_CHECKPOINT_BACKUPS=true"}
	return m.Run()
}

// ownFolder makes a folder for this run, locked as long as the process lives, and removes those of runs that were killed.
func ownFolder() (dir string, unlock func(), err error) {
	base := filepath.Join(rig.Scratch(), "sallyport-clouds")
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", nil, err
	}
	turn, err := locked(base, 0) // one run at a time looks around
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = turn.Close() }()
	old, _ := filepath.Glob(filepath.Join(base, "run-*")) // the pattern is well-formed
	for _, left := range old {
		if lock, err := locked(left, syscall.LOCK_NB); err == nil {
			_ = os.RemoveAll(left)
			_ = lock.Close()
		}
	}
	if dir, err = os.MkdirTemp(base, "run-"); err != nil {
		return "", nil, err
	}
	lock, err := locked(dir, 0)
	if err != nil {
		return "", nil, err
	}
	return dir, func() { _ = lock.Close() }, nil
}

// locked locks a folder's lock file.
func locked(dir string, how int) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|how); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return lock, nil
}

// compiled are the programs of this run, each built when first asked for.
var compiled sync.Map

func program(t *testing.T, pkg string) string {
	t.Helper()
	once, _ := compiled.LoadOrStore(pkg, sync.OnceValues(func() (string, error) { return shared.Compile(pkg) }))
	binary, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// environment is a stack with a test.
type environment struct {
	*rig.Stack
	t *testing.T
}

func newEnvironment(t *testing.T, name, pkg, config string) *environment {
	t.Helper()
	s, err := shared.NewStack(name, program(t, pkg), config)
	if err != nil {
		t.Fatal(err)
	}
	return &environment{Stack: s, t: t}
}

// must runs Pulumi and returns what it touched.
func (e *environment) must(args ...string) []string {
	e.t.Helper()
	r := e.Pulumi(args...)
	if r.Err != nil {
		e.t.Fatalf("pulumi %s: %v\n%s", strings.Join(args, " "), r.Err, r.Output)
	}
	return r.Touched
}

// unchanged checks that a further up changes nothing.
func (e *environment) unchanged() {
	e.t.Helper()
	if touched := e.must("up"); len(touched) > 0 {
		e.t.Errorf("a second up is not clean:\n%s", strings.Join(touched, "\n"))
	}
}

// look reads the world.
func (e *environment) look(read func(*world.State)) {
	e.t.Helper()
	if err := e.World.Look(read); err != nil {
		e.t.Fatal(err)
	}
}

// change changes the world behind Pulumi's back.
func (e *environment) change(write func(*world.State) error) {
	e.t.Helper()
	if err := e.World.Do(write); err != nil {
		e.t.Fatal(err)
	}
}

// faults replaces what goes wrong.
func (e *environment) faults(faults ...world.Fault) {
	e.t.Helper()
	if err := e.World.SetFaults(faults...); err != nil {
		e.t.Fatal(err)
	}
}

// publicIPs are all public IPs, with the id that has each.
func (e *environment) publicIPs() map[string]string {
	e.t.Helper()
	out := map[string]string{}
	e.look(func(s *world.State) {
		for _, o := range s.All() {
			if ip := world.PublicIP(o); ip != "" {
				out[ip] = o.ID
			}
		}
	})
	return out
}

// kept checks that every public IP of an earlier day is there and has the same id, that none was released, and that no
// connection was cut.
func (e *environment) kept(before map[string]string) {
	e.t.Helper()
	now := e.publicIPs()
	for ip, id := range before {
		if now[ip] != id {
			e.t.Errorf("public IP %s of %s is lost: now %q", ip, id, now[ip])
		}
	}
	e.look(func(s *world.State) {
		if len(s.Released) > 0 {
			e.t.Errorf("public IPs were released: %v", s.Released)
		}
		if len(s.Cut) > 0 {
			e.t.Errorf("connections were cut: %v", s.Cut)
		}
	})
}

// probeNetwork is the network that the probe expects.
func probeNetwork(zones ...string) aws.Existing {
	e := aws.Existing{Region: "eu-west-1", VPC: "vpc-0123456789abcdef0", CIDR: "10.0.0.0/16", Subnets: map[string]string{}, SubnetZones: map[string]string{}}
	for i, zone := range zones {
		e.Subnets["subnet-public-"+zone], e.Subnets["subnet-private-"+zone] = fmt.Sprintf("10.0.%d.0/24", i), fmt.Sprintf("10.0.%d.0/24", 100+i)
		e.SubnetZones["subnet-public-"+zone], e.SubnetZones["subnet-private-"+zone] = "eu-west-1"+zone, "eu-west-1"+zone
	}
	return e
}

const probeConfig = `config:
  sallyport:cloud: aws
  sallyport:cluster: {}
  sallyport:destinations: []
`

func newProbe(t *testing.T, zones string, slots int) *environment {
	t.Helper()
	e := newEnvironment(t, "probe", "./test/clouds/probe", probeConfig)
	if err := aws.Seed(e.World, probeNetwork("a", "b", "c")); err != nil {
		t.Fatal(err)
	}
	e.shape(zones, slots, "")
	return e
}

func (e *environment) shape(zones string, slots int, userData string) {
	e.Env = []string{"PROBE_ZONES=" + zones, fmt.Sprintf("PROBE_SLOTS=%d", slots), "PROBE_USERDATA=" + userData}
}

// only keeps lines that begin with one of the words.
func only(lines []string, words ...string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		first, _, _ := strings.Cut(line, " ")
		return !slices.Contains(words, first)
	})
}
