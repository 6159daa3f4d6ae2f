package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/lab/namespace"
)

// requestsTotal is CoreDNS's counter of queries, by server, protocol and type.
const requestsTotal = "coredns_dns_requests_total"

// scrape reads CoreDNS's metrics from inside a namespace and returns the A and AAAA queries so far, of the samples that carry a label.
func scrape(ctx context.Context, space, url, label string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := namespace.HTTPClient(space, 5*time.Second).Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: must answer 200, got %s", url, response.Status)
	}
	return addressQueries(io.LimitReader(response.Body, 8<<20), label)
}

// addressQueries adds up the counter of A and AAAA queries in Prometheus's text format, of the samples that carry a label, such as
// `proto="udp"`; empty for all.
func addressQueries(metrics io.Reader, label string) (float64, error) {
	total := 0.0
	lines := bufio.NewScanner(metrics)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		labels, ours := strings.CutPrefix(lines.Text(), requestsTotal+"{")
		if !ours {
			continue
		}
		labels, value, complete := strings.Cut(labels, "} ")
		if !complete || !strings.Contains(labels, label) || !strings.Contains(labels, `type="A"`) && !strings.Contains(labels, `type="AAAA"`) {
			continue
		}
		number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", requestsTotal, err)
		}
		total += number
	}
	return total, lines.Err()
}
