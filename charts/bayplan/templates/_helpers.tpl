{{- define "bayplan.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "bayplan.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "bayplan.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must be set when serviceAccount.create is false: name the account that exists" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "bayplan.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "bayplan.standardLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: bayplan
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Labels of every object and pod; those that we give ourselves win. */}}
{{- define "bayplan.labels" -}}
{{- merge (include "bayplan.standardLabels" . | fromYaml) .Values.commonLabels | toYaml -}}
{{- end -}}

{{/* Labels and annotations of an object: a list of the context, its own labels, its own annotations. */}}
{{- define "bayplan.about" -}}
{{- $top := index . 0 -}}
{{- $labels := dict -}}
{{- $annotations := dict -}}
{{- if gt (len .) 1 -}}
{{- $labels = index . 1 -}}
{{- end -}}
{{- if gt (len .) 2 -}}
{{- $annotations = index . 2 -}}
{{- end -}}
labels:
  {{- merge (include "bayplan.standardLabels" $top | fromYaml) $labels $top.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge (dict) $annotations $top.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Labels by which the API server adds a role to the roles of these names. */}}
{{- define "bayplan.aggregate" -}}
{{- range splitList " " . }}
rbac.authorization.k8s.io/aggregate-to-{{ . }}: "true"
{{- end }}
{{- end -}}

{{- define "bayplan.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What every pod of ours is: restricted, on the default scheduler. */}}
{{- define "bayplan.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
automountServiceAccountToken: true
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The user's affinity, and the operator kept off the nodes that it fills: both must hold. */}}
{{- define "bayplan.affinity" -}}
{{- $affinity := deepCopy .Values.affinity -}}
{{- $others := include "bayplan.otherNodes" . | fromYamlArray -}}
{{- if and .Values.avoidOwnNodes $others -}}
{{- $required := dig "nodeAffinity" "requiredDuringSchedulingIgnoredDuringExecution" dict $affinity -}}
{{- $terms := list -}}
{{- range $one := dig "nodeSelectorTerms" (list dict) $required -}}
{{- range $other := $others -}}
{{- $both := concat (default list $one.matchExpressions) $other.matchExpressions -}}
{{- $terms = append $terms (merge (dict "matchExpressions" $both) $one) -}}
{{- end -}}
{{- end -}}
{{- $node := merge (dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms)) (dig "nodeAffinity" dict $affinity) -}}
{{- $_ := set $affinity "nodeAffinity" $node -}}
{{- end -}}
{{- with $affinity -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- define "bayplan.container" -}}
image: {{ include "bayplan.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "bayplan.volumes" -}}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The nodes that Bayplan fills, turned round: any one part that does not hold will do. */}}
{{- define "bayplan.otherNodes" -}}
{{- range $part := splitList "," .Values.settings.nodeSelector }}
{{- $part = trim $part | replace "==" "=" }}
{{- if $part }}
- matchExpressions:
  {{- if contains "!=" $part }}
  {{- $sides := splitn "!=" 2 $part }}
    - {key: {{ trim $sides._0 | quote }}, operator: In, values: [{{ trim $sides._1 | quote }}]}
  {{- else if contains "=" $part }}
  {{- $sides := splitn "=" 2 $part }}
    - {key: {{ trim $sides._0 | quote }}, operator: NotIn, values: [{{ trim $sides._1 | quote }}]}
  {{- else if hasPrefix "!" $part }}
    - {key: {{ trimPrefix "!" $part | trim | quote }}, operator: Exists}
  {{- else }}
    - {key: {{ $part | quote }}, operator: DoesNotExist}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "bayplan.checks" -}}
{{- $m := .Values.monitoring -}}
{{- if and $m.serviceMonitor.create $m.podMonitor.create -}}
{{- fail "monitoring.serviceMonitor.create and monitoring.podMonitor.create must not both be true, the same figures would be scraped twice: turn one of them off" -}}
{{- end -}}
{{- $wants := or $m.serviceMonitor.create $m.podMonitor.create $m.prometheusRule.create -}}
{{- if and $wants (not $m.force) (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
{{- fail "monitoring: this cluster does not serve monitoring.coreos.com/v1: install the Prometheus operator first, or set monitoring.force=true if it comes later" -}}
{{- end -}}
{{- if and .Values.pool.enabled .Values.settings.namespace -}}
{{- fail "pool.enabled must be false with settings.namespace, since a Pool belongs to the whole cluster: remove one of the two" -}}
{{- end -}}
{{- range $index, $one := .Values.extraEnv -}}
{{- if has $one.name (list "BAYPLAN_IDENTITY" "BAYPLAN_LEASE_NAMESPACE") -}}
{{- fail (printf "extraEnv[%d] must not be %s, which the chart sets from the pod: remove it" $index $one.name) -}}
{{- end -}}
{{- end -}}
{{- $volumes := list "tmp" "notifications" "prices" -}}
{{- range $index, $one := .Values.extraVolumes -}}
{{- if has $one.name $volumes -}}
{{- fail (printf "extraVolumes[%d].name must not be %s, which is a volume already: choose another name" $index $one.name) -}}
{{- end -}}
{{- $volumes = append $volumes $one.name -}}
{{- end -}}
{{- range $index, $one := .Values.extraVolumeMounts -}}
{{- if not (has $one.name $volumes) -}}
{{- fail (printf "extraVolumeMounts[%d].name is %s, and there is no such volume: add it to extraVolumes" $index $one.name) -}}
{{- end -}}
{{- end -}}
{{- with .Values.settings -}}
{{- if not (and (lt (float64 .leaseRetrySeconds) (float64 .leaseRenewDeadlineSeconds)) (lt (float64 .leaseRenewDeadlineSeconds) (float64 .leaseDurationSeconds))) -}}
{{- fail "settings: lease times must rise: make leaseRetrySeconds < leaseRenewDeadlineSeconds < leaseDurationSeconds" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.podDisruptionBudget.create (gt (int .Values.replicas) 1) (ge (int .Values.podDisruptionBudget.maxUnavailable) (int .Values.replicas)) -}}
{{- fail "podDisruptionBudget.maxUnavailable must be less than replicas, or a drain takes all of them at once: lower it or raise replicas" -}}
{{- end -}}
{{- end -}}

{{/* Annotations of a hook: a list of which hook, and its weight. */}}
{{- define "bayplan.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
