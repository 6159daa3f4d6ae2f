package capacity

import (
	"fmt"
	"math"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// Design is a Cloud NAT as somebody runs it or thought of: every destination through it, with these ports and IPs.
type Design struct {
	PortsPerVM int // a legal number of ports: see LegalPorts
	IPs        int // 1 to MaxIPsPerCloudNat
}

// Comparison is one design beside others that carry the same demand. Ports and connections are those to one destination
// address and port, because that is how NATs count them.
type Comparison struct {
	Design    string `json:"design"`
	IPsToList int    `json:"ipsToList"` // public IPs that partners must list, reserve included
	// OneNode is how many connections one node can have open, TIME_WAIT included. Held is the same for all nodes of today
	// together.
	OneNode int `json:"oneNode"`
	Held    int `json:"held"`
	// Ports are owned, Used are in use on average at peak, and the rest stands idle.
	Ports int `json:"ports"`
	Used  int `json:"used"`
	Idle  int `json:"idle"`
	// Refused is the share of new connections from the busiest node that find no port at peak.
	Refused    float64 `json:"refused"`
	MonthlyUSD float64 `json:"monthlyUSD"`
	Sufficient bool    `json:"sufficient"` // within the blocking target, and ports for every VM there may be
	Remark     string  `json:"remark"`     // why not, or what decides
}

// Compare puts designs beside the plan of the input, which comes last. Every design carries the whole demand through a Cloud
// NAT. The error joins every [problem.Problem] of the input and the designs.
func Compare(in Input, designs []Design) ([]Comparison, error) {
	plan, err := Compute(in)
	if err != nil {
		return nil, err
	}
	list := &problem.List{}
	var lines []Comparison
	for _, d := range designs {
		line, err := compareNat(in, d)
		if err != nil {
			list.AddError("", err)
			continue
		}
		lines = append(lines, line)
	}
	if err := list.Err(); err != nil {
		return nil, err
	}
	return append(lines, comparePlan(in, plan)), nil
}

func (d Design) name() string {
	return fmt.Sprintf("%s ports, %s", count(d.PortsPerVM), plural(d.IPs, "IP"))
}

// compareNat puts everything through one NAT of the design.
func compareNat(in Input, d Design) (Comparison, error) {
	in.Flavor, in.PortsPerVM, in.IPs, in.Insufficient, in.Gateways, in.Rules = CloudNat, d.PortsPerVM, d.IPs, true, nil, nil
	in.Destinations, in.Namespace = throughNat(in.Destinations), "design "+d.name()+": "
	if d.IPs < 1 || d.PortsPerVM < 1 { // 0 would have them computed
		return Comparison{}, problem.Problem{Place: "design " + d.name(), Rule: "needs at least 1 IP and 1 port", Remedy: "write ports per VM and IPs"}
	}
	plan, err := Compute(in)
	if err != nil {
		return Comparison{}, err
	}
	line := Comparison{Design: d.name(), IPsToList: d.IPs + in.Reserve, OneNode: d.PortsPerVM, Ports: d.IPs * PortsPerNatIP}
	served := min(in.Nodes, line.Ports/d.PortsPerVM)
	line.Held = served * d.PortsPerVM
	worst, total := 0.0, 0.0
	s := newSizer(in, &problem.List{})
	for _, destination := range in.Destinations {
		l := s.busiestNode(destination).ports
		worst = math.Max(worst, l)
		total = math.Max(total, carried(l, d.PortsPerVM, in, served))
	}
	line.Refused, line.MonthlyUSD = ErlangB(d.PortsPerVM, worst), price(in, plan).MonthlyUSD
	short := shortfall(in, plan)
	line.Sufficient, line.Remark = short == "", short
	if line.Sufficient {
		line.Remark = plan.Nat.Deciding + " decides"
	}
	line.fill(total)
	return line, nil
}

// carried is how many ports a destination occupies on average on all served nodes: as many nodes as the skew allows at the load
// of the busiest, which loses most, and the rest without.
func carried(busiest float64, ports int, in Input, served int) float64 {
	busy := math.Min(float64(in.Nodes)/math.Min(in.Skew, float64(in.Nodes)), float64(served))
	return busy * busiest * (1 - ErlangB(ports, busiest))
}

// throughNat sends every destination through a NAT, where nothing pools connections.
func throughNat(ds []Destination) []Destination {
	all := make([]Destination, len(ds))
	for i, d := range ds {
		all[i] = d
		all[i].Via, all[i].RequestsPerConnection = ViaNat, 1
	}
	return all
}

// comparePlan describes what the input declares.
func comparePlan(in Input, plan Plan) Comparison {
	cost := price(in, plan)
	line := Comparison{Design: "as declared", IPsToList: cost.IPsToList, MonthlyUSD: cost.MonthlyUSD}
	if plan.Proxies.Total > 0 {
		line.Design = plural(plan.Proxies.Total, "proxy")
		line.Held = plan.Proxies.IPs * PortsPerProxyIP
		line.Ports += plan.Proxies.IPs * PortsPerProxyIP
		line.OneNode, line.Remark = line.Held, plan.Proxies.Deciding+" decides" // a node may use all of the fleet's ports
	}
	if plan.Nat.IPs > 0 {
		if line.Design != "as declared" {
			line.Design += " and "
		} else {
			line.Design = ""
		}
		line.Design += "a NAT with " + plural(plan.Nat.IPs+plan.Nat.RuleIPs, "IP")
		line.natPart(in, plan)
	}
	used := 0.0
	for _, d := range in.Destinations {
		if d.Via == ViaProxy {
			used = math.Max(used, d.offered(1, "", ProxyTimeWait).ports)
		} else if plan.Nat.Flavor == CloudNat {
			l := newSizer(in, &problem.List{}).busiestNode(d).ports
			used = math.Max(used, carried(l, plan.Nat.PortsPerVM, in, in.Nodes))
		} else {
			used = math.Max(used, d.offered(1, "", in.TimeWait).ports)
		}
	}
	short := shortfall(in, plan)
	line.Sufficient = short == ""
	if !line.Sufficient {
		line.Remark = short
	}
	for _, m := range plan.Margins {
		line.Refused = math.Max(line.Refused, m.Blocking)
	}
	line.fill(used)
	return line
}

// natPart adds the NAT of a plan. The fleet, if there is one, says what is held: that is where the hot destinations are.
func (c *Comparison) natPart(in Input, plan Plan) {
	perIP := PortsPerNatIP
	if plan.Nat.Flavor == NatGateway {
		perIP = PortsPerGatewayIP
	}
	c.Ports += (plan.Nat.IPs + plan.Nat.RuleIPs) * perIP
	if plan.Proxies.Total > 0 {
		return
	}
	c.Remark = plan.Nat.Deciding + " decides"
	if plan.Nat.Flavor == NatGateway {
		c.Held = plan.Nat.IPs * perIP
		c.OneNode = plan.Nat.IPsPerZone * perIP
		return
	}
	c.OneNode = plan.Nat.PortsPerVM
	c.Held = min(in.Nodes*plan.Nat.PortsPerVM, plan.Nat.IPs*perIP)
}

func (c *Comparison) fill(used float64) {
	c.Used = int(math.Round(math.Min(used, float64(c.Ports))))
	c.Idle = c.Ports - c.Used
}

// CompareText prints designs side by side, one column each.
func CompareText(lines []Comparison) string {
	rows := [][]string{{""}, {"IPs to allowlist"}, {"connections one node can hold"}, {"connections held by all nodes"}, {"ports owned"},
		{"ports in use at peak"}, {"idle ports"}, {"refused on the busiest node"}, {"cost per month"}, {"enough"}}
	var notes []string
	for _, c := range lines {
		enough := "yes"
		if !c.Sufficient {
			enough = "no"
			notes = append(notes, c.Design+": "+c.Remark)
		}
		for i, cell := range []string{c.Design, count(c.IPsToList), count(c.OneNode), count(c.Held), count(c.Ports), count(c.Used), count(c.Idle),
			percent(c.Refused), fmt.Sprintf("$%.2f", c.MonthlyUSD), enough} {
			rows[i] = append(rows[i], cell)
		}
	}
	var text strings.Builder
	table(&text, rows)
	for _, note := range notes {
		text.WriteString("  " + note + "\n")
	}
	return text.String()
}
