{{/* Fails with a sentence for the first value that is missing or can't be right. */}}
{{- define "pgstow.checks" -}}
{{- $v := .Values -}}
{{- $_ := required "image.repository is missing: name the image that you built and pushed, such as registry.example.com/pgstow" $v.image.repository -}}
{{- $_ := required "database.secret.name is missing: put the database's URL into a Secret under the key DATABASE_URL, and name that Secret" $v.database.secret.name -}}
{{- if empty $v.storage.urls -}}
{{- fail "storage.urls is empty: give at least one, such as s3://my-bucket/pgstow?region=eu-central-1" -}}
{{- end -}}
{{- if not (regexMatch "^/.*[^/]$" $v.storage.mountPath) -}}
{{- fail (printf "storage.mountPath: %s is no whole path of a folder, such as /backups" $v.storage.mountPath) -}}
{{- end -}}
{{- range $v.storage.urls -}}
{{- if not (regexMatch "^(s3|file)://[^ ]+$" .) -}}
{{- fail (printf "storage.urls: %s is no storage; write it like s3://my-bucket/pgstow?region=eu-central-1, or file:///backups" .) -}}
{{- end -}}
{{- if and (hasPrefix "file:" .) (empty $v.storage.claim) -}}
{{- fail (printf "storage.claim is missing: %s is gone with its pod unless a PersistentVolumeClaim is mounted there" .) -}}
{{- end -}}
{{- if and (hasPrefix "file:" .) (not (hasPrefix (printf "file://%s/" $v.storage.mountPath) (printf "%s/" .))) -}}
{{- fail (printf "storage.urls: %s is outside of storage.mountPath, which is %s" . $v.storage.mountPath) -}}
{{- end -}}
{{- end -}}
{{- if empty $v.recipients -}}
{{- fail "recipients is empty: give the public half of a key, age1…, which `pgstow keygen` prints" -}}
{{- end -}}
{{- range $v.recipients -}}
{{- if contains "SECRET-KEY" (upper .) -}}
{{- fail "recipients holds a private key, which opens the backups: give its public half, age1…, and take the key out of these values" -}}
{{- end -}}
{{- end -}}
{{- range $name, $job := dict "backup" $v.backup "drill" $v.drill -}}
{{- if not (regexMatch "^(@[a-z]+|\\S+( +\\S+){4})$" $job.schedule) -}}
{{- fail (printf "%s.schedule: %s is no cron expression of five fields; write it like 0 3 * * *" $name $job.schedule) -}}
{{- end -}}
{{- if not (regexMatch "^[A-Za-z_]+(/[A-Za-z0-9_+-]+)*$" $job.timeZone) -}}
{{- fail (printf "%s.timeZone: %s is no time zone; write it like Europe/Berlin" $name $job.timeZone) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^[0-9]+([kMGTP]i?)?$" $v.drill.scratch.size) -}}
{{- fail (printf "drill.scratch.size: %s is no size; write it like 20Gi" $v.drill.scratch.size) -}}
{{- end -}}
{{- if $v.drill.enabled -}}
{{- $_ := required "drill.image.repository is missing: name the image of task/Dockerfile's target drill, which has PostgreSQL's server programs" $v.drill.image.repository -}}
{{- $_ := required "identity.secret.name is missing, and drill.enabled needs the private key: put it into a Secret under the key identity, and name that Secret" $v.identity.secret.name -}}
{{- end -}}
{{- if $v.restore.enabled -}}
{{- $_ := required "restore.into is missing: name the new database to restore into" $v.restore.into -}}
{{- $_ := required "identity.secret.name is missing, and restore.enabled needs the private key: put it into a Secret under the key identity, and name that Secret" $v.identity.secret.name -}}
{{- end -}}
{{- end -}}
