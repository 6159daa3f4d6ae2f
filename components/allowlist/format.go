package allowlist

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// Format is a way to write a document.
type Format string

// The formats. All but JSON list only the IPs that partners have to list.
const (
	FormatJSON   Format = "json"   // the whole document, retired IPs included
	FormatText   Format = "text"   // one IP per line
	FormatCIDR   Format = "cidr"   // one IP per line as a network: 198.51.100.7/32
	FormatCSV    Format = "csv"    // with a header line
	FormatBlocks Format = "blocks" // the fewest networks that hold exactly these IPs
	// FormatNginx is a file of nginx `allow` directives to include before a `deny all`.
	FormatNginx Format = "nginx"
	// FormatNFT is a file for `nft -f` that fills the sets sallyport_v4 and sallyport_v6 of table inet sallyport anew, in one step.
	FormatNFT Format = "nft"
	// FormatPrefixList is the entries of an AWS managed prefix list, for `aws ec2 create-managed-prefix-list --entries file://...`.
	FormatPrefixList Format = "aws-prefix-list"
	// FormatTerraform is a tfvars file that sets the variable sallyport_cidrs, a list of texts.
	FormatTerraform Format = "terraform"
)

// Formats are all formats.
var Formats = []Format{
	FormatJSON, FormatText, FormatCIDR, FormatCSV, FormatBlocks, FormatNginx, FormatNFT, FormatPrefixList, FormatTerraform,
}

// Render writes the document in a format. The text ends with a line break.
func (d Document) Render(format Format) (string, error) {
	switch format {
	case FormatJSON:
		data, err := json.MarshalIndent(d, "", "  ")
		return string(data) + "\n", err
	case FormatText:
		return lines(d.Listed().IPs()), nil
	case FormatCIDR:
		return lines(d.CIDRs()), nil
	case FormatCSV:
		return d.csv()
	case FormatBlocks:
		return lines(Collapse(d.Listed().IPs())), nil
	case FormatNginx:
		return d.nginx(), nil
	case FormatNFT:
		return d.nft(), nil
	case FormatPrefixList:
		return d.prefixList()
	case FormatTerraform:
		return d.terraform(), nil
	default:
		words := make([]string, len(Formats))
		for i, f := range Formats {
			words[i] = string(f)
		}
		return "", problem.Problem{Place: "format", Rule: "is unknown", Value: fmt.Sprintf("%q", format), Remedy: problem.Suggestion(string(format), words)}
	}
}

func lines[T fmt.Stringer](items []T) string {
	var text strings.Builder
	for _, item := range items {
		text.WriteString(item.String() + "\n")
	}
	return text.String()
}

// CIDRs returns each listed IP as a network of its own.
func (d Document) CIDRs() []netip.Prefix {
	networks := []netip.Prefix{}
	for _, ip := range d.Listed().IPs() {
		networks = append(networks, netip.PrefixFrom(ip, ip.BitLen()))
	}
	return networks
}

// csv writes a header and a line per listed IP. No field can start a formula in a spreadsheet: all are labels or addresses.
func (d Document) csv() (string, error) {
	records := [][]string{{"ip", "cloud", "region", "zone", "kind", "slot", "state", "partners", "listed", "active", "expected"}}
	for _, e := range d.Listed().Entries {
		records = append(records, []string{e.IP.String(), e.Cloud, e.Region, e.Zone, string(e.Kind), e.Slot, string(e.State), strings.Join(e.Partners, " "),
			date(e.Dates.Listed), date(e.Dates.Active), date(e.Dates.Expected)})
	}
	var text bytes.Buffer
	err := csv.NewWriter(&text).WriteAll(records)
	return text.String(), err
}

// Collapse returns the fewest networks that hold exactly the given IPs, ascending. The IPs must be ascending and unique.
func Collapse(ips []netip.Addr) []netip.Prefix {
	networks := []netip.Prefix{}
	for _, ip := range ips {
		networks = append(networks, netip.PrefixFrom(ip, ip.BitLen()))
		// Two halves of the same larger network become that network, which may again be a half.
		for len(networks) >= 2 {
			a, b := networks[len(networks)-2], networks[len(networks)-1]
			if a.Bits() != b.Bits() || a.Bits() == 0 || a.Addr().BitLen() != b.Addr().BitLen() {
				break
			}
			whole := netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked()
			if whole.Addr() != a.Addr() || !whole.Contains(b.Addr()) {
				break
			}
			networks = append(networks[:len(networks)-2], whole)
		}
	}
	return networks
}
