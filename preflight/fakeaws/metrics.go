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

// Series is one metric: what was put into CloudWatch, in any order.
type Series struct {
	Namespace, Name string
	Dimensions      map[string]string
	Samples         []Sample
}

// Sample is one value.
type Sample struct {
	At    time.Time
	Value float64
}

// statistics are those that CloudWatch computes of the samples of a period, as far as tests need them.
var statistics = map[string]func([]float64) float64{
	"Maximum": slices.Max[[]float64],
	"Minimum": slices.Min[[]float64],
	"Sum": func(values []float64) (sum float64) {
		for _, v := range values {
			sum += v
		}
		return sum
	},
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
	statistic, period := statistics[textOf(stat["Stat"])], s.period(stat["Period"])
	if statistic == nil {
		s.t.Errorf("fake AWS: statistic %q is not known here", textOf(stat["Stat"]))
		statistic = statistics["Sum"]
	}
	buckets := map[time.Time][]float64{}
	for _, series := range s.account.Series {
		if series.Namespace != textOf(metric["Namespace"]) || series.Name != textOf(metric["MetricName"]) || !maps.Equal(series.Dimensions, dimensions) {
			continue
		}
		for _, sample := range series.Samples {
			if at := sample.At.Truncate(period); !sample.At.Before(from) && sample.At.Before(to) {
				buckets[at] = append(buckets[at], sample.Value)
			}
		}
	}
	times, values := cbor.List{}, cbor.List{}
	for _, at := range slices.SortedFunc(maps.Keys(buckets), time.Time.Compare) {
		times = append(times, &cbor.Tag{ID: 1, Value: cbor.Uint(at.Unix())})
		values = append(values, cbor.Float64(statistic(buckets[at])))
	}
	return cbor.Map{"Id": q["Id"], "Label": metric["MetricName"], "StatusCode": cbor.String("Complete"), "Timestamps": times, "Values": values}
}

// period is that of a query: a minute or a multiple of it, as the API has it for metrics of standard resolution.
func (s *Server) period(v cbor.Value) time.Duration {
	seconds, err := cbor.AsInt64(v)
	if err != nil || seconds <= 0 || seconds%60 != 0 {
		s.t.Errorf("fake AWS: period %v, %v", v, err)
		return time.Minute
	}
	return time.Duration(seconds) * time.Second
}

func textOf(v cbor.Value) string {
	text, _ := v.(cbor.String)
	return string(text)
}
