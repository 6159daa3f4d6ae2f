package capacity

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Text explains the plan to a person: the result, the arithmetic line by line, how close each destination comes to its ceiling,
// and what the designs cost.
func (p Plan) Text() string {
	var text strings.Builder
	text.WriteString("Result\n")
	table(&text, p.resultRows())
	text.WriteString("\nArithmetic\n")
	var rows [][]string
	for _, s := range p.Steps {
		line := s.Arithmetic
		if s.Source != "" {
			line += "  [" + s.Source + "]"
		}
		rows = append(rows, []string{s.What, line})
	}
	table(&text, rows)
	text.WriteString("\nMargins at peak\n")
	rows = [][]string{{"destination", "via", "ports in use", "of", "blocking"}}
	for _, m := range p.Margins {
		rows = append(rows, []string{m.Destination, string(m.Via), number(m.Load), count(m.Ceiling), percent(m.Blocking)})
	}
	table(&text, rows)
	text.WriteString("\nCost per month\n")
	table(&text, p.costRows())
	return text.String()
}

func (p Plan) resultRows() [][]string {
	nat, proxies := "not needed", "not needed"
	if p.Nat.IPs > 0 && p.Nat.Flavor == NatGateway {
		nat = fmt.Sprintf("%s, %d per zone; %s decides", plural(p.Nat.IPs, "public IP"), p.Nat.IPsPerZone, p.Nat.Deciding)
	} else if p.Nat.IPs > 0 {
		ips := plural(p.Nat.IPs, "public IP")
		if len(p.Gateways) > 1 {
			ips += " on " + plural(len(p.Gateways), "gateway")
		}
		if p.Nat.RuleIPs > 0 {
			ips += fmt.Sprintf(" and %d of NAT rules", p.Nat.RuleIPs)
		}
		nat = fmt.Sprintf("%s ports per VM, %s; %s decides", count(p.Nat.PortsPerVM), ips, p.Nat.Deciding)
	}
	if p.Proxies.Total > 0 {
		proxies = fmt.Sprintf("%d, %d per zone, %s; %s decides", p.Proxies.Total, p.Proxies.PerZone, plural(p.Proxies.IPs, "public IP"), p.Proxies.Deciding)
	}
	rows := [][]string{{"NAT (" + string(p.Nat.Flavor) + ")", nat}, {"proxies", proxies}}
	if reserve := p.Nat.ReserveIPs + p.Proxies.ReserveIPs; reserve > 0 {
		rows = append(rows, []string{"reserve", plural(reserve, "public IP") + " that partners list before they carry traffic"})
	}
	return rows
}

func (p Plan) costRows() [][]string {
	var rows [][]string
	for _, c := range p.Cost {
		design := c.Design
		switch {
		case c.Impossible != "" && c.MonthlyUSD == 0:
			rows = append(rows, []string{design, "impossible", "", c.Impossible})
			continue
		case c.Impossible != "":
			design += ", which " + c.Impossible
		case c.Recommended:
			design += " (recommended)"
		}
		rows = append(rows, []string{design, fmt.Sprintf("$%.2f", c.MonthlyUSD), plural(c.IPsToList, "IP") + " to list", c.Arithmetic})
	}
	return rows
}

// table writes rows in aligned columns, indented.
func table(text *strings.Builder, rows [][]string) {
	w := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, "  "+strings.Join(row, "\t")) //nolint:errcheck // a strings.Builder takes everything
	}
	w.Flush() //nolint:errcheck // a strings.Builder takes everything
}
