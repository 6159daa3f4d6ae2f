package fakeaws

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// Series is what CloudWatch has of one metric with one statistic.
type Series struct {
	Namespace, Name, Stat string
	Dimensions            map[string]string
	Points                map[time.Time]float64
}

type cborAPI struct{}

func (cborAPI) write(w http.ResponseWriter, status int, value cbor.Value) {
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	w.WriteHeader(status)
	_, _ = w.Write(cbor.Encode(value)) // the test sees it
}

// fail writes an error as the CBOR protocol has it.
func (api cborAPI) fail(w http.ResponseWriter, f Failure) {
	code := f.Code
	switch code {
	case "UnauthorizedOperation":
		code = "AccessDeniedException"
	case "RequestLimitExceeded":
		code = "ThrottlingException"
	}
	api.write(w, http.StatusBadRequest, cbor.Map{"__type": cbor.String("com.amazonaws.cloudwatch#" + code), "message": cbor.String(f.Message)})
}

// maxQueries is how many metrics one call may ask for. "Amazon CloudWatch API Reference", GetMetricData, 2026-09.
const maxQueries = 500

// serveMetrics answers CloudWatch's GetMetricData: for every query the points of the matching series within the time asked for.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request, action string) error {
	if action != "GetMetricData" {
		return fmt.Errorf("not known here")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	value, err := cbor.Decode(body)
	if err != nil {
		return err
	}
	asked, _ := value.(cbor.Map)
	queries, _ := asked["MetricDataQueries"].(cbor.List)
	if len(queries) == 0 || len(queries) > maxQueries {
		return fmt.Errorf("%d queries", len(queries))
	}
	from, err := cbor.AsTime(asked["StartTime"])
	if err != nil {
		return fmt.Errorf("StartTime: %w", err)
	}
	to, err := cbor.AsTime(asked["EndTime"])
	if err != nil {
		return fmt.Errorf("EndTime: %w", err)
	}
	var results []cbor.Value
	for _, q := range queries {
		results = append(results, s.metric(q, from, to))
	}
	token, _ := asked["NextToken"].(cbor.String)
	results, next := page(s, results, string(token))
	answer := cbor.Map{"MetricDataResults": cbor.List(results), "Messages": cbor.List{}}
	if next != "" {
		answer["NextToken"] = cbor.String(next)
	}
	cborAPI{}.write(w, http.StatusOK, answer)
	return nil
}

// metric answers one query.
func (s *Server) metric(query cbor.Value, from, to time.Time) cbor.Value {
	q, _ := query.(cbor.Map)
	stat, _ := q["MetricStat"].(cbor.Map)
	metric, _ := stat["Metric"].(cbor.Map)
	dimensions := map[string]string{}
	list, _ := metric["Dimensions"].(cbor.List)
	for _, d := range list {
		pair, _ := d.(cbor.Map)
		dimensions[textOf(pair["Name"])] = textOf(pair["Value"])
	}
	times, values := cbor.List{}, cbor.List{}
	for _, series := range s.account.Series {
		if series.Namespace != textOf(metric["Namespace"]) || series.Name != textOf(metric["MetricName"]) || series.Stat != textOf(stat["Stat"]) ||
			!maps.Equal(series.Dimensions, dimensions) {
			continue
		}
		// Newest first, as the API does unless asked otherwise.
		for _, at := range slices.SortedFunc(maps.Keys(series.Points), func(a, b time.Time) int { return b.Compare(a) }) {
			if at.Before(from) || !at.Before(to) {
				continue
			}
			times = append(times, &cbor.Tag{ID: 1, Value: cbor.Uint(at.Unix())})
			values = append(values, cbor.Float64(series.Points[at]))
		}
	}
	return cbor.Map{"Id": q["Id"], "Label": metric["MetricName"], "StatusCode": cbor.String("Complete"), "Timestamps": times, "Values": values}
}

func textOf(v cbor.Value) string {
	text, _ := v.(cbor.String)
	return string(text)
}
