package fakeaws

import (
	"encoding/json"
	"fmt"
	"net/http"
)

type jsonAPI struct{}

// fail writes an error as the JSON protocol of AWS has it.
func (jsonAPI) fail(w http.ResponseWriter, f Failure) {
	code := f.Code
	switch code {
	case "UnauthorizedOperation":
		code = "AccessDeniedException"
	case "RequestLimitExceeded":
		code = "TooManyRequestsException"
	case "AuthFailure":
		code = "UnrecognizedClientException"
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "Message": f.Message}) // the test sees it
}

// serveQuotas answers Service Quotas: applied values, and defaults.
func (s *Server) serveQuotas(w http.ResponseWriter, r *http.Request, action string) error {
	var asked struct{ ServiceCode, QuotaCode string }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return err
	}
	values := s.account.Quotas
	switch action {
	case "GetServiceQuota":
	case "GetAWSDefaultServiceQuota":
		values = s.account.DefaultOnly
	default:
		return fmt.Errorf("not known here")
	}
	value, known := values[asked.QuotaCode]
	if !known {
		jsonAPI{}.fail(w, Failure{Code: "NoSuchResourceException", Message: "The request failed because the specified quota doesn't exist."})
		return nil
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	return json.NewEncoder(w).Encode(map[string]any{"Quota": map[string]any{"ServiceCode": asked.ServiceCode, "QuotaCode": asked.QuotaCode, "Value": value, "Adjustable": true}})
}
