package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/capacity"
)

// result is what a run of the program left.
type result struct {
	code             int
	output, complain string
}

func sallyport(t *testing.T, input string, args ...string) result {
	t.Helper()
	var out, complaints bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(input), &out, &complaints)
	return result{code, out.String(), complaints.String()}
}

// words splits a command line at spaces.
func words(line string) []string { return strings.Fields(line) }

func TestPlanReproducesTheKnownCases(t *testing.T) {
	tests := map[string]struct {
		line string
		want []string
	}{
		"64 ports for each of 100 VMs leave 97 % idle and still drop": {
			"plan --nodes 100 --surge-nodes 0 --skew 1 --rate 200 --ports-per-vm 64 --ips 3",
			[]string{"64 ports x 100 VMs = 6,400 of 193,536 (3 IPs); the other 187,136 stand idle and no VM can borrow them",
				"64 given, 512 needed: still dropping, 73.7 % of new connections"},
		},
		"8,192 ports for each of 100 VMs need 13 IPs": {
			"plan --nodes 100 --surge-nodes 0 --skew 1 --rate 200 --ports-per-vm 8192",
			[]string{"(100 nodes + 0 surge) x 8,192 ports / 64,512 ports per IP = 12.7 -> 13 IPs", "8,192 ports per VM, 13 public IPs"},
		},
		"the same, computed from demand": {
			"plan --nodes 100 --surge-nodes 0 --skew 1 --rate 5400",
			[]string{"5,400/s / 100 nodes x 1 skew x (1 s + 120 s) / 1 address = 6,534 ports in use on average", "8,192 ports per VM, 13 public IPs"},
		},
		"two pods with 100 new connections a second each, on one node": {
			"plan --nodes 1 --rate 200 --hold 0",
			[]string{"200/s / 1 node x 1 skew x (0 s + 120 s) / 1 address = 24,000 ports in use on average", "32,768 ports per VM"},
		},
		"the same behind an AWS NAT gateway": {
			"plan --flavor natgateway --zones 1 --nodes 1 --rate 200 --hold 0",
			[]string{"200/s x (0 s + 60 s) / 1 address = 12,000 ports in use on average / 54,100 per IP -> 1", "1 public IP, 1 per zone"},
		},
		"the same through proxies": {
			"plan --route proxy --nodes 1 --rate 200 --hold 0",
			[]string{"proxies         6, 2 per zone, 6 public IPs"},
		},
		"pooled, ten requests to a connection": {
			"plan --route pool --nodes 1 --rate 200 --hold 0 --requests 10",
			[]string{"200/s x (0 s + 60 s / 10) / 1 address = 1,200 ports in use on average"},
		},
		"other limits of the machine": {
			"plan --route proxy --rate 4000 --proxy-rate 500 --zones 2 --spare-per-zone 0 --reserve 2",
			[]string{"4,000/s over all destinations / 500/s per proxy -> 8 proxies", "8, 4 per zone, 8 public IPs", "reserve         2 public IPs"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := sallyport(t, "", words(test.line)...)
			for _, want := range test.want {
				if r.code != 0 || !strings.Contains(r.output, want) {
					t.Errorf("exit %d, no %q in\n%s%s", r.code, want, r.output, r.complain)
				}
			}
		})
	}
}

const goodStacks = "../../components/stack/testdata/good"

func TestPlanOfAStackFile(t *testing.T) {
	r := sallyport(t, "", "plan", "--file", filepath.Join(goodStacks, "minimal.yaml"))
	for _, want := range []string{"load of news", "1,024 ports per VM, 1 public IP; news decides", "4, 2 per zone, 4 public IPs; payments decides", "Cost per month"} {
		if r.code != 0 || !strings.Contains(r.output, want) {
			t.Errorf("exit %d, no %q in\n%s%s", r.code, want, r.output, r.complain)
		}
	}
}

func planJSON(t *testing.T, args ...string) capacity.Plan {
	t.Helper()
	r := sallyport(t, "", append([]string{"plan", "--json"}, args...)...)
	if r.code != 0 {
		t.Fatal(r.complain)
	}
	var plan capacity.Plan
	decoder := json.NewDecoder(strings.NewReader(r.output))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&plan); err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestFlagsChangeWhatAStackFileSays(t *testing.T) {
	file := []string{"--file", filepath.Join(goodStacks, "minimal.yaml")}
	if plan := planJSON(t, file...); plan.Nat.PortsPerVM != 1024 || plan.Proxies.Total != 4 || len(plan.Steps) == 0 {
		t.Errorf("%+v", plan)
	}
	for line, want := range map[string]func(capacity.Plan) bool{
		"--ports-per-vm 64":                 func(p capacity.Plan) bool { return p.Nat.PortsPerVM == 64 && p.Nat.RequiredPortsPerVM == 1024 },
		"--nodes 20":                        func(p capacity.Plan) bool { return p.Nat.PortsPerVM == 128 },
		"--max-nodes 1000":                  func(p capacity.Plan) bool { return p.Nat.IPs == 16 },
		"--max-nodes 1000 --surge-nodes 30": func(p capacity.Plan) bool { return p.Nat.IPs == 17 },
		"--skew 1 --blocking 0.1":           func(p capacity.Plan) bool { return p.Nat.PortsPerVM == 512 },
		"--time-wait 0 --alias-ranges":      func(p capacity.Plan) bool { return p.Nat.PortsPerVM == 1024 },
		"--time-wait 0":                     func(p capacity.Plan) bool { return p.Nat.PortsPerVM == 64 },
		"--flavor natgateway --zones 4":     func(p capacity.Plan) bool { return p.Nat.IPs == 4 && p.Proxies.Total == 8 },
		"--ips 5":                           func(p capacity.Plan) bool { return p.Nat.IPs == 5 },
		"--spare-per-zone 3 --reserve 1":    func(p capacity.Plan) bool { return p.Proxies.Total == 8 && p.Nat.ReserveIPs == 1 },
		"--ips-per-proxy 3":                 func(p capacity.Plan) bool { return p.Proxies.IPs == 12 },
		"--proxy-rate 50":                   func(p capacity.Plan) bool { return p.Proxies.Total == 6 },
		"--proxy-connections 50":            func(p capacity.Plan) bool { return p.Proxies.Total == 12 },
		"--proxy-price 0":                   func(p capacity.Plan) bool { return p.Cost[0].MonthlyUSD < 30 },
	} {
		if plan := planJSON(t, append(words(line), file...)...); !want(plan) {
			t.Errorf("%s: %+v %+v %+v", line, plan.Nat, plan.Proxies, plan.Cost)
		}
	}
}

func TestPlanRefusesWhatMakesNoSense(t *testing.T) {
	minimal := " --file " + filepath.Join(goodStacks, "minimal.yaml")
	for line, want := range map[string]string{
		"plan":                                "--rate: is required without a stack file",
		"plan --rate -5":                      "demand.connectionsPerSecond: must be above 0, got -5",
		"plan --rate NaN":                     "demand.connectionsPerSecond: must be above 0, got NaN",
		"plan --rate x":                       `invalid argument "x" for "--rate"`,
		"plan --rate 1 --nodes 0":             "cluster.nodes: must be between 1 and",
		"plan --rate 1 --zones 0":             "cluster.zones: needs at least 1 zone",
		"plan --rate 1 --route sea":           `--route: must be nat, proxy or pool, got "sea"`,
		"plan --rate 1 --requests 5":          "--requests: connections are shared on route pool only",
		"plan --rate 1 --flavor x":            `nat.flavor: must be cloudnat or natgateway, got "x"`,
		"plan --rate 1 --ports-per-vm 100":    "nat.portsPerVM: must be a power of two",
		"plan --rate 50000 --nodes 2":         "send it through the proxies",
		"plan --rate 1" + minimal:             "--rate: describes a demand of its own and cannot be combined with a stack file",
		"plan --stack a" + minimal:            "--stack: cannot be combined with --file",
		"plan --stack ../x":                   "--stack: must be the name of a stack",
		"plan --file testdata/none.yaml":      "testdata/none.yaml",
		"plan surplus":                        `unknown command "surplus"`,
		"plan --nope":                         "unknown flag: --nope",
		"nope":                                `unknown command "nope"`,
		"plan --skew 0.5 --nodes 0" + minimal: "cluster.skew: must be between 1 and",
	} {
		r := sallyport(t, "", words(line)...)
		if r.code != 2 || !strings.Contains(r.complain, want) || r.output != "" {
			t.Errorf("%s: exit %d, output %q, no %q in\n%s", line, r.code, r.output, want, r.complain)
		}
	}
}

func TestPlanShowsEveryProblemOfEveryBadStackFile(t *testing.T) {
	bad, err := filepath.Glob("../../components/stack/testdata/bad/*.yaml")
	if err != nil || len(bad) < 30 {
		t.Fatalf("%d bad files, %v", len(bad), err)
	}
	for _, path := range bad {
		golden, err := os.ReadFile(strings.TrimSuffix(path, ".yaml") + ".golden")
		if err != nil {
			t.Fatal(err)
		}
		r := sallyport(t, "", "plan", "--file", path)
		if want := path + " cannot be used\n" + string(golden); r.code != 2 || r.output != "" || r.complain != want {
			t.Errorf("exit %d, output %q, got\n%swant\n%s", r.code, r.output, r.complain, want)
		}
	}
}

// project makes a project in a directory of its own, with the files of the given texts, and goes to a directory below it.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files["Pulumi.yaml"] = "name: sallyport\n"
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	below := filepath.Join(root, "some", "where")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	return root
}

func TestPlanFindsAStackFromBelowTheProject(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(goodStacks, "minimal.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	project(t, map[string]string{"stacks/Pulumi.local.yaml": string(text), "stacks/Pulumi.prod.yaml": "config: {}\n"})
	if r := sallyport(t, "", "plan", "--stack", "local"); r.code != 0 || !strings.HasPrefix(r.output, "Plan for stack local\n") {
		t.Errorf("%+v", r)
	}
	if r := sallyport(t, "", "plan", "--stack", "locla"); r.code != 2 || !strings.Contains(r.complain, `got "locla"; did you mean "local"?`) {
		t.Errorf("%+v", r)
	}
	if r := sallyport(t, "", "plan", "--stack", "prod"); r.code != 2 || !strings.Contains(r.complain, "sallyport:cloud: is required") {
		t.Errorf("%+v", r)
	}
	t.Chdir(t.TempDir())
	if r := sallyport(t, "", "plan", "--stack", "local"); r.code != 2 || !strings.Contains(r.complain, "needs a Pulumi.yaml in the working directory or above") {
		t.Errorf("%+v", r)
	}
}

func TestHelpNamesTheExitCodes(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"plan", "--help"}, {"allowlist", "--help"}, {"allowlist", "diff", "--help"}} {
		if r := sallyport(t, "", args...); r.code != 0 || !strings.Contains(r.output, "Exit codes:") {
			t.Errorf("%v: exit %d\n%s", args, r.code, r.output)
		}
	}
}

func TestDesignsAreComparedSideBySide(t *testing.T) {
	for name, test := range map[string]struct {
		line string
		want []string
	}{
		"those of a stack file": {"plan --file ../../stacks/Pulumi.rapido.yaml --compare",
			[]string{"64 ports, 3 IPs  8,192 ports, 13 IPs  6 proxies and a NAT with 1 IP", "IPs to allowlist               3                13                   7",
				"connections held by all nodes  6,400            819,200              387,072", "idle ports                     189,270          472,656              265,584",
				"cost per month                 $43.07           $79.57               $276.67", "drops 98.8 % of new connections to payments"}},
		"those of flags come after": {"plan --file ../../stacks/Pulumi.rapido.yaml --design 2048x4",
			[]string{"8,192 ports, 13 IPs  2,048 ports, 4 IPs  6 proxies"}},
		"without a stack file": {"plan --nodes 100 --surge-nodes 0 --rate 3000 --hold 2 --route proxy --compare --design 64x3",
			[]string{"Designs for one destination", "64 ports, 3 IPs  6 proxies"}},
	} {
		got := sallyport(t, "", words(test.line)...)
		if got.code != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		for _, want := range test.want {
			if !strings.Contains(got.output, want) {
				t.Errorf("%s: %q is missing in\n%s", name, want, got.output)
			}
		}
	}
	var lines []capacity.Comparison
	got := sallyport(t, "", words("plan --file ../../stacks/Pulumi.rapido.yaml --compare --json")...)
	if err := json.Unmarshal([]byte(got.output), &lines); err != nil || len(lines) != 3 || lines[1].IPsToList != 13 || !lines[2].Sufficient {
		t.Errorf("%v\n%s", err, got.output)
	}
}

func TestDesignsThatMakeNoSenseAreRefused(t *testing.T) {
	for line, want := range map[string]string{
		"plan --nodes 3 --rate 1 --compare":      "--compare: needs a design to compare with",
		"plan --nodes 3 --rate 1 --design 64":    `--design: must be ports per VM x IPs, got "64"`,
		"plan --nodes 3 --rate 1 --design 64x0":  `got "64x0"`,
		"plan --nodes 3 --rate 1 --design 100x3": "design 100 ports, 3 IPs: nat.portsPerVM: must be a power of two from 64 to 65,536, got 100",
	} {
		got := sallyport(t, "", words(line)...)
		if got.code == 0 || !strings.Contains(got.complain, want) {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func TestFlagsApplyToAStackWithSeveralGateways(t *testing.T) {
	file := "plan --file ../../components/stack/testdata/good/gcp.yaml "
	for line, want := range map[string]string{
		file + "--max-nodes 50000":                           "798 public IPs on 6 gateways and 798 of NAT rules",
		file + "--flavor natgateway --max-ips-per-gateway 8": "NAT (natgateway)",
		file + "--ips 9":                                     "9 public IPs and",
	} {
		if got := sallyport(t, "", words(line)...); got.code != 0 || !strings.Contains(got.output, want) {
			t.Errorf("%s: %+v", line, got)
		}
	}
}
