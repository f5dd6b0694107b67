# Reference numbers for dependent effects, with the published data behind them, written to the
# working directory. Run: Rscript dependent.R
# metafor 3.8-1, clubSandwich 0.5.8, metadat 1.2-0 (Debian), R 4.2.2. Each multilevel model is fitted
# with several optimisers at tight tolerances, and the fit of highest likelihood is kept.
suppressMessages({library(metafor); library(metadat); library(clubSandwich); library(jsonlite)})
controls <- list(
  list(optimizer = "nlminb", rel.tol = 1e-12, x.tol = 1e-12),
  list(optimizer = "nlminb", rel.tol = 1e-10),
  list(optimizer = "BFGS", reltol = 1e-15, maxit = 10000),
  list(optimizer = "Nelder-Mead", reltol = 1e-16, maxit = 100000))
best <- function(...) {
  call <- match.call()
  call[[1]] <- as.name("rma.mv")
  where <- parent.frame()
  fits <- lapply(controls, function(control) {
    call$control <- control
    tryCatch(suppressWarnings(eval(call, where)), error = function(e) NULL)
  })
  fits <- Filter(Negate(is.null), fits)
  fits[[which.max(sapply(fits, function(fit) as.numeric(logLik(fit))))]]
}
put <- function(dat, columns, file) {
  write.csv(as.data.frame(dat)[columns], file, row.names = FALSE, na = "", quote = FALSE)
}
i2 <- function(fit) {
  W <- solve(fit$V)
  X <- model.matrix(fit)
  P <- W - W %*% X %*% solve(t(X) %*% W %*% X) %*% t(X) %*% W
  100 * fit$sigma2 / (sum(fit$sigma2) + (fit$k - fit$p) / sum(diag(P)))
}
core <- function(fit) list(
  beta = as.numeric(fit$beta), se = as.numeric(fit$se), sigma2 = fit$sigma2,
  logLik = as.numeric(logLik(fit)), Q = fit$QE, Qp = fit$QEp, QM = fit$QM)
sandwich <- function(fit, cluster, kind) {
  r <- coef_test(fit, vcov = kind, cluster = cluster, test = "Satterthwaite")
  list(se = r$SE, df = if ("df_Satt" %in% names(r)) r$df_Satt else r$df,
       p = if ("p_Satt" %in% names(r)) r$p_Satt else r$p)
}
htz <- function(fit, cluster, which) {
  r <- Wald_test(fit, constraints = constrain_zero(which), vcov = "CR2", cluster = cluster,
                 test = "HTZ")
  list(F = r$Fstat, df1 = r$df_num, df2 = r$df_denom, p = r$p_val)
}
robusts <- function(fit, cluster) sapply(c("CR0", "CR1", "CR1p", "CR2"),
  function(kind) sandwich(fit, cluster, kind), simplify = FALSE)
out <- list(versions = list(metafor = as.character(packageVersion("metafor")),
  clubSandwich = as.character(packageVersion("clubSandwich")),
  metadat = as.character(packageVersion("metadat")), R = R.version.string))

# Three levels: schools in districts (Konstantopoulos 2011).
dat <- dat.konstantopoulos2011
put(dat, c("district", "school", "study", "year", "yi", "vi"), "dependent_konstantopoulos2011.csv")
dat$late <- dat$year - 1990
three <- list()
for (method in c("REML", "ML")) {
  plain <- best(yi, vi, random = ~ 1 | district/school, data = dat, method = method)
  line <- best(yi, vi, mods = ~ late, random = ~ 1 | district/school, data = dat,
                 method = method)
  three[[method]] <- c(core(plain), list(I2 = i2(plain), robust = robusts(plain, dat$district),
    line = c(core(line), list(robust = robusts(line, dat$district),
                              htz = htz(line, dat$district, 2)))))
}
plain <- rma.mv(yi, vi, random = ~ 1 | district/school, data = dat)
ci <- function(fit, k) {
  r <- confint(fit, sigma2 = k, control = list(tol = 1e-10, vc.max = 2))$random[1, ]
  as.numeric(r)
}
three$ci <- list(between = ci(plain, 1), within = ci(plain, 2))
contain <- best(yi, vi, random = ~ 1 | district/school, data = dat, test = "t", dfs = "contain")
three$contain <- list(ddf = as.numeric(contain$ddf), p = contain$pval, lb = contain$ci.lb,
                      ub = contain$ci.ub)
new <- predict(contain)
three$predict <- as.numeric(c(new$pi.lb, new$pi.ub))
out$konstantopoulos2011 <- three

# Correlated and hierarchical effects (Assink & Wibbelink 2016).
dat <- dat.assink2016
put(dat, c("study", "esid", "id", "yi", "vi", "pubstatus", "year", "deltype"),
    "dependent_assink2016.csv")
V <- vcalc(vi, cluster = study, obs = esid, data = dat, rho = 0.6)
che <- list()
for (method in c("REML", "ML")) {
  plain <- best(yi, V, random = ~ 1 | study/esid, data = dat, method = method)
  words <- best(yi, V, mods = ~ year + deltype, random = ~ 1 | study/esid, data = dat,
                  method = method)
  che[[method]] <- c(core(plain), list(I2 = i2(plain), robust = robusts(plain, dat$study),
    words = c(core(words), list(terms = rownames(words$beta),
      robust = robusts(words, dat$study), htz = htz(words, dat$study, 2:4)))))
}
egger <- best(yi, V, mods = ~ sqrt(vi), random = ~ 1 | study/esid, data = dat)
peese <- best(yi, V, mods = ~ vi, random = ~ 1 | study/esid, data = dat)
che$egger <- c(core(egger), robust = list(sandwich(egger, dat$study, "CR2")))
che$peese <- c(core(peese), robust = list(sandwich(peese, dat$study, "CR2")))
esc <- escalc(yi = yi, vi = vi, data = dat)
one <- aggregate(esc, cluster = study, struct = "CS", rho = 0.6)
mean <- aggregate(esc, cluster = study, struct = "CS", rho = 0.6, weighted = FALSE)
che$aggregate <- list(study = one$study, yi = as.numeric(one$yi), vi = as.numeric(one$vi),
                      mean_yi = as.numeric(mean$yi), mean_vi = as.numeric(mean$vi))
# General blocks: correlation 0.8 between effects of neighbouring number, falling with distance.
A <- vcalc(vi, cluster = study, time1 = esid, phi = 0.8, data = dat)
falling <- best(yi, A, random = ~ 1 | study/esid, data = dat)
che$falling <- c(core(falling), list(I2 = i2(falling), robust = robusts(falling, dat$study)))
che$rows <- list(rho = V[1:3, 1:3], falling = A[1:3, 1:3])
out$assink2016 <- che

# Two outcomes (Berkey et al. 1998).
dat <- dat.berkey1998
put(dat, c("trial", "outcome", "yi", "vi", "v1i", "v2i"), "dependent_berkey1998.csv")
V <- vcalc(vi = 1, cluster = trial, rvars = c(v1i, v2i), data = dat)
both <- list()
for (struct in c("UN", "DIAG", "CS", "HCS")) for (method in c("REML", "ML")) {
  fit <- best(yi, V, mods = ~ outcome - 1, random = ~ outcome | trial, struct = struct,
                data = dat, method = method)
  both[[struct]][[method]] <- list(beta = as.numeric(fit$beta), se = fit$se, tau2 = fit$tau2,
    rho = fit$rho, logLik = as.numeric(logLik(fit)), Q = fit$QE, terms = rownames(fit$beta),
    robust = robusts(fit, dat$trial), htz = htz(fit, dat$trial, 1:2))
}
out$berkey1998 <- both

# One effect per row, clusters of unequal size (Tanner-Smith & Grant 2018), and meta-regression.
dat <- dat.tannersmith2016
put(dat, c("studyid", "yi", "vi", "aget1", "propmale", "sexmix"), "dependent_tannersmith2016.csv")
tight1 <- list(threshold = 1e-13, maxiter = 10000)
plain <- rma(yi, vi, data = dat, control = tight1)
line <- rma(yi, vi, mods = ~ aget1 + propmale + sexmix, data = dat, control = tight1)
common <- rma(yi, vi, mods = ~ aget1, method = "EE", data = dat)
out$tannersmith2016 <- list(
  plain = list(tau2 = plain$tau2, beta = as.numeric(plain$beta),
               robust = robusts(plain, dat$studyid)),
  line = list(tau2 = line$tau2, beta = as.numeric(line$beta), terms = rownames(line$beta),
              robust = robusts(line, dat$studyid), htz = htz(line, dat$studyid, 2:5)),
  common = list(beta = as.numeric(common$beta), robust = robusts(common, dat$studyid)))

write_json(out, "dependent.json", digits = NA, auto_unbox = TRUE, pretty = TRUE, null = "null")
