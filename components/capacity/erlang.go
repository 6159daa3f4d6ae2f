package capacity

import "math"

// ErlangB returns the share of new connections that find no free port when ports are shared by an offered load of so many
// occupied ports on average (Erlang's loss formula). It depends on the mean time a port is occupied and not on how these times
// are distributed, so a hold time plus a fixed TIME_WAIT needs no correction.
//
// The usual recurrence 1/B(k) = 1 + (k/A)/B(k-1) takes one step per port. Written out it is the sum of 1 + c/A + c(c-1)/A^2 + ...,
// all positive, so nothing cancels; its terms fade after some multiple of the root of A, so 64,512 ports take microseconds.
func ErlangB(ports int, load float64) float64 {
	if load <= 0 {
		return 0
	}
	sum, term := 1.0, 1.0
	for free := float64(ports); free > 0; free-- {
		term *= free / load
		sum += term
		if math.IsInf(sum, 0) {
			return 0
		}
		if free < load && term < sum*1e-17 { // terms only fall from here on
			break
		}
	}
	return 1 / sum
}

// ErlangBPorts returns the smallest number of ports that keeps the blocking of a load within target, which must be between 0
// and 1 (exclusive). A load of 0 needs none.
func ErlangBPorts(load, target float64) int {
	if load <= 0 {
		return 0
	}
	enough := 1
	for ErlangB(enough, load) > target {
		enough *= 2
	}
	tooFew := enough / 2 // 0 ports block everything
	for enough-tooFew > 1 {
		middle := tooFew + (enough-tooFew)/2
		if ErlangB(middle, load) > target {
			tooFew = middle
		} else {
			enough = middle
		}
	}
	return enough
}

// MaxLoad returns the largest load that so many ports carry with blocking within target: the inverse of ErlangB in the load.
func MaxLoad(ports int, target float64) float64 {
	if ports <= 0 {
		return 0
	}
	low, high := 0.0, 1.0
	for ErlangB(ports, high) <= target {
		low, high = high, high*2
	}
	for range 200 { // ends earlier: a float64 has 53 bits to halve
		middle := low + (high-low)/2
		if middle <= low || middle >= high {
			break
		}
		if ErlangB(ports, middle) > target {
			high = middle
		} else {
			low = middle
		}
	}
	return low
}
