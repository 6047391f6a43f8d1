/* simcard: an ALSA external I/O plugin that behaves like a sound card.
 * - hardware pointer advances with CLOCK_MONOTONIC * (1 + ppm/1e6), sample exact
 * - real buffer/period limits, real XRUNs (EPIPE), poll() wakes at period boundaries
 * - every frame written is appended to <prefix>.raw ; <prefix>.log says when each run of
 *   frames started/stopped, so that the exact time at which every frame left the "DAC"
 *   can be rebuilt afterwards (simcard_timeline.py).
 * asoundrc:
 *   pcm.card1hw { type simcard prefix "card1" ppm 50 }
 *   pcm.card1 { type plug slave.pcm card1hw hint { show on description "sim card 1" } }
 * The environment variable SIMCARD_DIR (if set) replaces the directory of prefix.
 * grain N (or SIMCARD_GRAIN=N): the pointer and the delay that a program sees move in steps of N frames, as with DMA bursts (32)
 * or USB (1 ms); what leaves the "DAC", and the log, stay exact.
 */
#define _GNU_SOURCE
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <sys/timerfd.h>
#include <time.h>
#include <stdint.h>
#include <fcntl.h>
#include <unistd.h>

typedef struct {
	snd_pcm_ioplug_t io;
	char prefix[512];
	double ppm, rate_eff;
	long grain;              /* frames; what programs see moves in these steps */
	long latency_us;
	int tfd, rawfd;
	FILE *log;
	int running;
	uint64_t start_ns;       /* time frame 0 of this run leaves the DAC */
	uint64_t written;        /* frames since prepare */
	uint64_t file_frames;    /* frames in .raw before this run */
	snd_pcm_uframes_t avail_min, boundary, bufsize, period;
	uint64_t min_fill; int frame_bytes;
} sim_t;

/* A file <prefix>.gone: the card has been unplugged. */
static int is_gone(sim_t *s) { char fn[600]; snprintf(fn, sizeof fn, "%s.gone", s->prefix); return access(fn, F_OK) == 0; }

/* A file <prefix>.late: the next write comes back late, once, so that the buffer runs empty. */
static void doze(sim_t *s) { char fn[600]; snprintf(fn, sizeof fn, "%s.late", s->prefix); if (s->running && unlink(fn) == 0) usleep(200000); }

static uint64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static uint64_t hw_at(sim_t *s, uint64_t t) { if (!s->running || t <= s->start_ns) return 0; return (uint64_t)((double)(t - s->start_ns) * s->rate_eff / 1e9); }
static uint64_t seen_at(sim_t *s, uint64_t t) { uint64_t f = hw_at(s, t); return s->grain > 1 ? f / s->grain * s->grain : f; }
static uint64_t t_of(sim_t *s, uint64_t f) { return s->start_ns + (uint64_t)((double)f * 1e9 / s->rate_eff); }
#define LOG(s, ...) do { if ((s)->log) { fprintf((s)->log, "%llu ", (unsigned long long)now_ns()); fprintf((s)->log, __VA_ARGS__); fputc('\n', (s)->log); fflush((s)->log); } } while (0)

static void arm(sim_t *s)
{
	struct itimerspec it = {{0,0},{0,0}};
	uint64_t need = s->written + s->avail_min;      /* hw must reach need - bufsize */
	if (need <= s->bufsize) { it.it_value.tv_nsec = 1; timerfd_settime(s->tfd, 0, &it, NULL); return; }
	if (!s->running) { timerfd_settime(s->tfd, 0, &it, NULL); return; } /* full, not started: never */
	uint64_t hw = need - s->bufsize;
	if (s->period) hw = (hw + s->period - 1) / s->period * s->period;
	uint64_t t = t_of(s, hw) + 1000;
	it.it_value.tv_sec = t / 1000000000ull; it.it_value.tv_nsec = t % 1000000000ull;
	timerfd_settime(s->tfd, TFD_TIMER_ABSTIME, &it, NULL);
}
static int sim_start(snd_pcm_ioplug_t *io)
{
	sim_t *s = io->private_data;
	s->start_ns = now_ns(); s->running = 1; s->min_fill = s->written;
	LOG(s, "start t=%llu off=%llu queued=%llu", (unsigned long long)(s->start_ns + s->latency_us * 1000), (unsigned long long)s->file_frames, (unsigned long long)s->written);
	arm(s);
	return 0;
}
static void finish(sim_t *s, const char *why)
{
	if (s->running) {
		uint64_t hw = hw_at(s, now_ns());
		uint64_t played = hw < s->written ? hw : s->written;
		LOG(s, "%s off=%llu written=%llu played=%llu end=%llu minfill=%llu", why, (unsigned long long)s->file_frames, (unsigned long long)s->written,
		    (unsigned long long)played, (unsigned long long)(t_of(s, played) + s->latency_us * 1000), (unsigned long long)s->min_fill);
		s->running = 0;
	}
	s->file_frames += s->written; s->written = 0;
}
static int sim_stop(snd_pcm_ioplug_t *io) { sim_t *s = io->private_data; finish(s, "stop"); arm(s); return 0; }
static int sim_prepare(snd_pcm_ioplug_t *io) { sim_t *s = io->private_data; if (is_gone(s)) return -ENODEV; finish(s, "prepare-while-running"); LOG(s, "prepare"); arm(s); return 0; }
static snd_pcm_sframes_t sim_pointer(snd_pcm_ioplug_t *io)
{
	sim_t *s = io->private_data;
	if (!s->running) return s->boundary ? (snd_pcm_sframes_t)(0) : 0;
	uint64_t hw = hw_at(s, now_ns());
	if (hw > s->written) {
		hw = s->written;
		if (io->state != SND_PCM_STATE_DRAINING) { finish(s, "XRUN"); return -EPIPE; }
	}
	if (s->grain > 1) { hw = hw / s->grain * s->grain; }
	return s->boundary ? hw % s->boundary : hw % s->bufsize;
}
static snd_pcm_sframes_t sim_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas, snd_pcm_uframes_t off, snd_pcm_uframes_t n)
{
	sim_t *s = io->private_data;
	if (is_gone(s)) return -ENODEV;
	doze(s);
	const char *p = (const char *)areas[0].addr + areas[0].first / 8 + (areas[0].step / 8) * off;
	if (s->written == 0) LOG(s, "first-write n=%lu", (unsigned long)n);
	if (s->running) { uint64_t hw = hw_at(s, now_ns()); uint64_t fill = s->written > hw ? s->written - hw : 0; if (fill < s->min_fill) s->min_fill = fill; }
	size_t len = n * s->frame_bytes, done = 0;
	while (done < len) { ssize_t r = write(s->rawfd, p + done, len - done); if (r < 0) return -EIO; done += r; }
	s->written += n;
	arm(s);
	return n;
}
static int sim_hw_params(snd_pcm_ioplug_t *io, snd_pcm_hw_params_t *p)
{
	sim_t *s = io->private_data;
	s->rate_eff = io->rate * (1.0 + s->ppm / 1e6);
	s->bufsize = io->buffer_size; s->period = io->period_size; s->avail_min = io->period_size;
	s->frame_bytes = snd_pcm_format_physical_width(io->format) / 8 * io->channels;
	LOG(s, "hw_params rate=%u channels=%u format=%s buffer=%lu period=%lu ppm=%g frame_bytes=%d", io->rate, io->channels, snd_pcm_format_name(io->format),
	    (unsigned long)io->buffer_size, (unsigned long)io->period_size, s->ppm, s->frame_bytes);
	return 0;
}
static int sim_sw_params(snd_pcm_ioplug_t *io, snd_pcm_sw_params_t *p)
{
	sim_t *s = io->private_data; snd_pcm_uframes_t th = 0;
	snd_pcm_sw_params_get_avail_min(p, &s->avail_min); snd_pcm_sw_params_get_boundary(p, &s->boundary);
	snd_pcm_sw_params_get_start_threshold(p, &th);
	LOG(s, "sw_params avail_min=%lu start_threshold=%lu", (unsigned long)s->avail_min, (unsigned long)th);
	return 0;
}
static int sim_delay(snd_pcm_ioplug_t *io, snd_pcm_sframes_t *d)
{
	sim_t *s = io->private_data; uint64_t hw = seen_at(s, now_ns());
	*d = (s->written > hw ? s->written - hw : 0) + (long)(s->latency_us * 1e-6 * io->rate);
	return 0;
}
static int sim_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *pfd, unsigned n, unsigned short *rev)
{
	sim_t *s = io->private_data; uint64_t hw = hw_at(s, now_ns());
	uint64_t used = s->written > hw ? s->written - hw : 0;
	if (s->running && hw > s->written && io->state != SND_PCM_STATE_DRAINING) { *rev = POLLERR | POLLOUT; return 0; }
	if (used + s->avail_min <= s->bufsize) *rev = POLLOUT; else { *rev = 0; arm(s); }
	return 0;
}
static int sim_close(snd_pcm_ioplug_t *io)
{
	sim_t *s = io->private_data; finish(s, "close-while-running"); LOG(s, "close");
	if (s->log) fclose(s->log); if (s->rawfd >= 0) close(s->rawfd); close(s->tfd); free(s); return 0;
}
static const snd_pcm_ioplug_callback_t cb = { .start = sim_start, .stop = sim_stop, .pointer = sim_pointer, .transfer = sim_transfer, .close = sim_close,
	.hw_params = sim_hw_params, .sw_params = sim_sw_params, .prepare = sim_prepare, .delay = sim_delay, .poll_revents = sim_poll_revents };

SND_PCM_PLUGIN_DEFINE_FUNC(simcard)
{
	snd_config_iterator_t i, next; const char *prefix = "simcard"; double ppm = 0; long lat = 0, grain = 0, l; const char *ratestr = NULL;
	snd_config_for_each(i, next, conf) {
		snd_config_t *n = snd_config_iterator_entry(i); const char *id; if (snd_config_get_id(n, &id) < 0) continue;
		if (!strcmp(id, "type") || !strcmp(id, "comment") || !strcmp(id, "hint")) continue;
		if (!strcmp(id, "prefix")) { snd_config_get_string(n, &prefix); continue; }
		if (!strcmp(id, "ppm")) { if (snd_config_get_real(n, &ppm) < 0 && snd_config_get_integer(n, &l) == 0) ppm = l; continue; }
		if (!strcmp(id, "latency_us")) { snd_config_get_integer(n, &lat); continue; }
		if (!strcmp(id, "grain")) { snd_config_get_integer(n, &grain); continue; }
		if (!strcmp(id, "rates")) { snd_config_get_string(n, &ratestr); continue; }
		SNDERR("simcard: unknown field %s", id); return -EINVAL;
	}
	if (stream != SND_PCM_STREAM_PLAYBACK) return -EINVAL;
	sim_t *s = calloc(1, sizeof *s);
	const char *dir = getenv("SIMCARD_DIR");
	if (dir) { const char *b = strrchr(prefix, '/'); snprintf(s->prefix, sizeof s->prefix, "%s/%s", dir, b ? b + 1 : prefix); }
	else snprintf(s->prefix, sizeof s->prefix, "%s", prefix);
	const char *pe = getenv("SIMCARD_PPM"); if (pe) ppm = atof(pe);
	const char *ge = getenv("SIMCARD_GRAIN"); if (ge) grain = atol(ge);
	s->ppm = ppm; s->latency_us = lat; s->grain = grain;
	char fn[600]; snprintf(fn, sizeof fn, "%s.raw", s->prefix); s->rawfd = open(fn, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (s->rawfd < 0) { SNDERR("simcard: cannot open %s", fn); free(s); return -errno; }
	snprintf(fn, sizeof fn, "%s.log", s->prefix); s->log = fopen(fn, "ae");
	off_t sz = lseek(s->rawfd, 0, SEEK_END);
	s->tfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	LOG(s, "open pid=%d bytes=%lld", getpid(), (long long)sz);
	s->io.version = SND_PCM_IOPLUG_VERSION; s->io.name = "simulated sound card"; s->io.callback = &cb; s->io.private_data = s;
	s->io.poll_fd = s->tfd; s->io.poll_events = POLLIN; s->io.mmap_rw = 0; s->io.flags = SND_PCM_IOPLUG_FLAG_BOUNDARY_WA | SND_PCM_IOPLUG_FLAG_MONOTONIC;
	int err = snd_pcm_ioplug_create(&s->io, name, stream, mode); if (err < 0) { free(s); return err; }
	static const unsigned acc[] = { SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED };
	static const unsigned fmt[] = { SND_PCM_FORMAT_S16_LE, SND_PCM_FORMAT_S24_LE, SND_PCM_FORMAT_S32_LE };
	snd_pcm_ioplug_set_param_list(&s->io, SND_PCM_IOPLUG_HW_ACCESS, 2, acc);
	snd_pcm_ioplug_set_param_list(&s->io, SND_PCM_IOPLUG_HW_FORMAT, 3, fmt);
	if (ratestr) { unsigned rl[16]; int k = 0; char *d = strdup(ratestr), *tok; for (tok = strtok(d, " ,"); tok && k < 16; tok = strtok(NULL, " ,")) rl[k++] = atoi(tok); free(d);
		snd_pcm_ioplug_set_param_list(&s->io, SND_PCM_IOPLUG_HW_RATE, k, rl); }
	else snd_pcm_ioplug_set_param_minmax(&s->io, SND_PCM_IOPLUG_HW_RATE, 8000, 192000);
	snd_pcm_ioplug_set_param_minmax(&s->io, SND_PCM_IOPLUG_HW_CHANNELS, 2, 2);
	snd_pcm_ioplug_set_param_minmax(&s->io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 256, 1 << 19);
	snd_pcm_ioplug_set_param_minmax(&s->io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 1024, 1 << 20);
	snd_pcm_ioplug_set_param_minmax(&s->io, SND_PCM_IOPLUG_HW_PERIODS, 2, 1024);
	*pcmp = s->io.pcm; return 0;
}
SND_PCM_PLUGIN_SYMBOL(simcard);
