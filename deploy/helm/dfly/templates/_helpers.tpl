{{/* Names, labels, and what several containers share. */}}

{{- define "dfly.name" -}}
{{- if contains "dfly" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-dfly" (.Release.Name | trunc 35 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "dfly.selector" -}}
app.kubernetes.io/name: dfly
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "dfly.labels" -}}
{{ include "dfly.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "dfly.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "dfly.tls" -}}
{{- if or .Values.tls.existingSecret .Values.tls.certManager.issuer }}true{{ end }}
{{- end }}

{{- define "dfly.tlsSecret" -}}
{{ .Values.tls.existingSecret | default (printf "%s-tls" (include "dfly.name" .)) }}
{{- end }}

{{/* The authority that clients of the seed peers must be told. */}}
{{- define "dfly.ca" -}}
{{- if and (include "dfly.tls" .) .Values.tls.caKey }}true{{ end }}
{{- end }}

{{/* https://dfly-seed-peer-0.dfly-seed-peer.NAMESPACE.svc:65001 for each, as a JSON list. */}}
{{- define "dfly.seedPeers" -}}
{{- $service := printf "%s-seed-peer" (include "dfly.name" .) }}
{{- $urls := list }}
{{- range $n := until (int .Values.seedPeer.replicas) }}
{{- $urls = append $urls (printf "%s://%s-%d.%s.%s.svc:%d" (ternary "https" "http" (eq (include "dfly.tls" $) "true")) $service $n $service $.Release.Namespace (int $.Values.seedPeer.port)) }}
{{- end }}
{{- toJson $urls }}
{{- end }}

{{/* Whether there is a secret of this kind, and where: called with (list . "clusterToken"). */}}
{{- define "dfly.has" -}}
{{- $given := index (index . 0).Values (index . 1) }}
{{- if or $given.value $given.existingSecret }}true{{ end }}
{{- end }}

{{- define "dfly.secretName" -}}
{{- $root := index . 0 }}
{{- (index $root.Values (index . 1)).existingSecret | default (include "dfly.name" $root) }}
{{- end }}

{{/* One directory with the secrets of these kinds that there are, each by its usual file name. */}}
{{- define "dfly.secretVolume" -}}
{{- $root := .root }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range .kinds }}
      {{- if include "dfly.has" (list $root .) }}
      - secret:
          name: {{ include "dfly.secretName" (list $root .) }}
          items: [{key: {{ (index $root.Values .).key | quote }}, path: {{ kebabcase . }}}]
      {{- end }}
      {{- end }}
{{- end }}

{{- define "dfly.anySecret" -}}
{{- $root := .root }}
{{- range .kinds }}{{ include "dfly.has" (list $root .) }}{{ end }}
{{- end }}

{{- define "dfly.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "dfly.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* A value that may be a number, as text: of a file's numbers Helm makes 1e+06 from a million on. */}}
{{- define "dfly.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ int64 . }}{{ end }}
{{- end }}

{{/* Where hubs are, and the way to them. */}}
{{- define "dfly.environment" -}}
{{- range $name, $value := .Values.hub.environment }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- range $name, $value := dict "HTTPS_PROXY" .Values.proxy.https "HTTP_PROXY" .Values.proxy.http "NO_PROXY" .Values.proxy.noProxy }}
{{- if $value }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- if .Values.corporateCA.configMap }}
- {name: SSL_CERT_FILE, value: {{ printf "/etc/dfly/corporate/%s" .Values.corporateCA.key | quote }}}
{{- end }}
{{- end }}

{{- define "dfly.corporateMount" -}}
{{- if .Values.corporateCA.configMap }}
- {name: corporate, mountPath: /etc/dfly/corporate, readOnly: true}
{{- end }}
{{- end }}

{{- define "dfly.corporateVolume" -}}
{{- if .Values.corporateCA.configMap }}
- name: corporate
  configMap: {name: {{ .Values.corporateCA.configMap }}}
{{- end }}
{{- end }}

{{/* The authority's certificate and nothing else of the seed peers' Secret. */}}
{{- define "dfly.caVolume" -}}
{{- if include "dfly.ca" . }}
- name: ca
  secret:
    secretName: {{ include "dfly.tlsSecret" . }}
    items: [{key: {{ .Values.tls.caKey | quote }}, path: ca.crt}]
{{- end }}
{{- end }}

{{/* A pod is made anew when a secret that this chart holds changes: they are read once, at the start. */}}
{{- define "dfly.checksum" -}}
checksum/secrets: {{ printf "%s/%s/%s" .Values.clusterToken.value .Values.operatorToken.value .Values.clusterSecret.value | sha256sum | trunc 12 }}
{{- end }}

{{/* Whom seed peers and nodes may speak to: anybody, as hubs are anywhere, or nobody outside of the cluster. */}}
{{- define "dfly.egress" -}}
{{- if .Values.networkPolicy.hub -}}
- {}
{{- else -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
- to:
    - podSelector: {matchLabels: {app.kubernetes.io/name: dfly, app.kubernetes.io/instance: {{ .Release.Name }}}}
    - namespaceSelector: {{ toJson .Values.networkPolicy.clients }}
    {{- range .Values.networkPolicy.nodeCIDRs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
{{- end }}
{{- end }}

{{/* What could not work, or would tell secrets. */}}
{{- define "dfly.check" -}}
{{- if and .Values.tls.existingSecret .Values.tls.certManager.issuer }}
{{- fail "tls: give existingSecret or certManager.issuer, not both" }}
{{- end }}
{{- if and (include "dfly.has" (list . "clusterToken")) (not (include "dfly.tls" .)) (not .Values.insecure) }}
{{- fail "a cluster token over plain HTTP can be read on its way: set tls.existingSecret or tls.certManager.issuer, or insecure=true where nobody else can listen in the pod network" }}
{{- end }}
{{- if and .Values.networkPolicy.enabled .Values.node.enabled .Values.node.hostNetwork (not .Values.networkPolicy.nodeCIDRs) }}
{{- fail "networkPolicy cannot tell nodes with the host's network by their labels: name their networks in networkPolicy.nodeCIDRs" }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.hub) (not .Values.networkPolicy.nodeCIDRs) .Values.node.enabled (not .Values.node.hostNetwork) (not .Values.node.location.value) .Values.node.location.nodeLabels }}
{{- fail "with networkPolicy.hub=false no node reaches the API server, which is asked for node.location.nodeLabels: set node.location.value, or nodeLabels to []" }}
{{- end }}
{{- end }}
